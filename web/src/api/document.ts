// A GraphQL document with the types of what it takes and returns; sends nothing.

export interface Document<Result, Variables> {
  readonly text: string;
  /** For the compiler alone; never set. */
  readonly types?: (variables: Variables) => Result;
}
