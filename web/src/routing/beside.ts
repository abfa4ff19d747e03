// Which model Play sets beside `auto` where its address names none; pure.

interface Model {
  name: string;
  task: string;
  state: string;
  parameters: number | null;
}

/** The smallest ready model that `auto` does not ask first, so that two are compared; null where there is no other. */
export function beside(models: readonly Model[], first: readonly string[]): string | null {
  const size = (each: Model): number => each.parameters ?? Infinity;
  const others = models.filter(
    ({ name, task, state }) => task === 'chat' && state === 'ready' && !first.includes(name),
  );
  if (first.length === 0 && others.length < 2) return null;
  return others.toSorted((one, other) => (size(one) < size(other) ? -1 : 1))[0]?.name ?? null;
}
