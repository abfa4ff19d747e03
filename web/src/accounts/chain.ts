// Verifies the chain of the audit log in the browser: the server's word is not taken for any entry.

export interface Entry {
  seq: number;
  previous: string;
  hash: string;
  /** JSON of [organization, seq, at, event, previous]: what the hash is of. */
  chained: string;
}

export interface Link {
  seq: number;
  hash: string;
}

export const GENESIS: Link = { seq: 0, hash: '0'.repeat(64) };

/** What is wrong with the first entry that does not follow `after`, or where the chain stands. */
export async function follow(entries: readonly Entry[], after: Link): Promise<{ at: Link; wrong: string }> {
  let at = after;
  for (const entry of entries) {
    if (entry.seq !== at.seq + 1)
      return { at, wrong: `Entry ${at.seq + 1} is missing: ${entry.seq} follows ${at.seq}.` };
    if (entry.previous !== at.hash)
      return { at, wrong: `Entry ${entry.seq} does not follow entry ${at.seq}: one of the two was replaced.` };
    const [, seq, , , previous] = JSON.parse(entry.chained) as unknown[];
    if (seq !== entry.seq || previous !== entry.previous || (await sha256(entry.chained)) !== entry.hash)
      return { at, wrong: `Entry ${entry.seq} was changed after it was written.` };
    at = { seq: entry.seq, hash: entry.hash };
  }
  return { at, wrong: '' };
}

async function sha256(text: string): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(hash), (each) => each.toString(16).padStart(2, '0')).join('');
}
