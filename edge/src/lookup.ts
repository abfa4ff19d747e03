// Looks up a name that a client chose: what every object inherits, such as `constructor`, is not found.

export function own<T>(record: Record<string, T>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
