// A value made at its first use: the browser's formats take some 15 ms, which the first paint does not wait for.

export function once<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
