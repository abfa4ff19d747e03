// Adds files and embeds them until nothing waits; tells how far it is.
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

/** What was dropped: files, and those in folders, without hidden ones. */
export async function filesOf(dropped: DataTransfer | null): Promise<File[]> {
  const entries = [...(dropped?.items ?? [])].map((each) => each.webkitGetAsEntry()).filter((each) => each !== null);
  if (entries.length === 0) return [...(dropped?.files ?? [])];
  return (await Promise.all(entries.map(within))).flat();
}

async function within(entry: FileSystemEntry): Promise<File[]> {
  if (entry.name.startsWith('.')) return [];
  if (entry.isFile)
    return [await new Promise<File>((found, failed) => (entry as FileSystemFileEntry).file(found, failed))];
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const files: File[] = [];
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((found, failed) => reader.readEntries(found, failed));
    if (some.length === 0) return files;
    files.push(...(await Promise.all(some.map(within))).flat());
  }
}

export async function addFiles(base: string, files: readonly File[], say: Say): Promise<void> {
  for (const [number, file] of files.entries()) {
    say(`Reading ${file.name}, ${number + 1} of ${files.length}`);
    await ask(knowledgeAddDocument, { base, source: file.name, data: await base64(file) });
  }
  await embed(base, say);
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
