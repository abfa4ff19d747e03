// Adds files and embeds them until nothing waits; tells how far it is.
import { asFailure, type Failure } from '../api/failure';
import { ask } from '../api/graphql';
import { knowledgeAddDocument, knowledgeEmbedDocument, knowledgeRebuildDocument } from './queries';

type Say = (words: string) => void;

/** The bytes as base64, in pieces that the stack bears. */
async function base64(file: File): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const PIECE = 0x8000;
  let text = '';
  for (let at = 0; at < bytes.length; at += PIECE) text += String.fromCharCode(...bytes.subarray(at, at + PIECE));
  return btoa(text);
}

export type DataClass = 'public' | 'internal' | 'confidential';

/** A file and its path, so that files of one name in two folders are two documents. */
export interface Chosen {
  path: string;
  file: File;
}
export interface Refused {
  path: string;
  failure: Failure;
}

/** What was dropped: files, and those in folders. */
export async function dropped(transfer: DataTransfer | null): Promise<Chosen[]> {
  const entries = [...(transfer?.items ?? [])].map((each) => each.webkitGetAsEntry()).filter((each) => each !== null);
  if (entries.length === 0) return chosen(transfer?.files);
  const files = unhidden((await Promise.all(entries.map(within))).flat());
  return entries.length === 1 && entries[0]?.isDirectory ? inside(files) : files;
}

/** What was chosen in a dialog: files, or one folder. */
export function chosen(files: FileList | null | undefined): Chosen[] {
  const all = [...(files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
  return unhidden(all.every(({ file }) => file.webkitRelativePath) ? inside(all) : all);
}

/** Paths below the one folder that all of them are in. */
function inside(all: Chosen[]): Chosen[] {
  return all.map(({ path, file }) => ({ path: path.replace(/^[^/]*\//, ''), file }));
}

function unhidden(all: Chosen[]): Chosen[] {
  return all.filter(({ path }) => !path.split('/').some((part) => part.startsWith('.')));
}

async function within(entry: FileSystemEntry): Promise<Chosen[]> {
  const path = entry.fullPath.replace(/^\//, '');
  if (entry.isFile) {
    const file = await new Promise<File>((found, failed) => (entry as FileSystemFileEntry).file(found, failed));
    return [{ path, file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const files: Chosen[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((found, failed) => reader.readEntries(found, failed));
    if (some.length === 0) return files;
    files.push(...(await Promise.all(some.map(within))).flat());
  }
}

/** Returns the files that were refused: one that cannot be read does not keep the others out. */
export async function addFiles(
  base: string,
  files: readonly Chosen[],
  dataClass: DataClass | null,
  say: Say,
): Promise<Refused[]> {
  const refused: Refused[] = [];
  for (const [number, { path, file }] of files.entries()) {
    say(`Reading ${path}, ${number + 1} of ${files.length}`);
    try {
      await ask(knowledgeAddDocument, { base, source: path, data: await base64(file), dataClass });
    } catch (cause) {
      const failure = asFailure(cause);
      if (['', 'unreachable'].includes(failure.code)) throw failure;
      refused.push({ path, failure });
    }
  }
  if (refused.length < files.length) await embed(base, say);
  return refused;
}

export async function embed(base: string, say: Say): Promise<void> {
  for (;;) {
    const { waiting, embedded } = (await ask(knowledgeEmbedDocument, { base })).embedDocuments;
    if (waiting === 0 || embedded === 0) return;
    say(`Embedding: ${waiting} passages wait`);
  }
}

/** Returns how many passages were missing. */
export async function rebuild(base: string, all: boolean, say: Say): Promise<number> {
  let after = '';
  let checked = 0;
  let missing = 0;
  do {
    const step = (await ask(knowledgeRebuildDocument, { base, all, after })).rebuildKnowledge;
    checked += step.checked;
    missing += step.missing;
    after = step.next;
    say(`Checked ${checked} of ${step.total} passages, ${missing} missing`);
  } while (after);
  await embed(base, say);
  return missing;
}
