// The versions of a prompt as releases have them, newest first, with the environments where each is live; pure.

interface Release {
  hash: string;
  created: number;
  createdBy: string;
  parts: readonly { kind: string; name: string; version: string }[];
}
interface Environment {
  name: string;
  live: { release: string; changed: number } | null;
}
export interface Version {
  version: string;
  /** Of the first saved release that has it. */
  since: number;
  by: string;
  release: string;
  environments: { name: string; since: number }[];
}

const of = (release: Release, id: string): string | undefined =>
  release.parts.find((part) => part.kind === 'prompts' && part.name === id)?.version;

/** `releases` newest first. */
export function versions(id: string, releases: readonly Release[], environments: readonly Environment[]): Version[] {
  const found = new Map<string, Version>();
  for (const release of releases) {
    const version = of(release, id);
    if (version === undefined) continue;
    const known = found.get(version) ?? { version, since: 0, by: '', release: '', environments: [] };
    Object.assign(known, { since: release.created, by: release.createdBy, release: release.hash });
    for (const { name, live } of environments)
      if (live?.release === release.hash) known.environments.push({ name, since: live.changed });
    found.set(version, known);
  }
  return [...found.values()];
}

/** The words of a prompt file without what stands between its first two lines of dashes. */
export function words(file: string): string {
  const end = file.startsWith('---\n') ? file.indexOf('\n---\n', 3) : -1;
  return end < 0 ? file : file.slice(end + 5);
}
