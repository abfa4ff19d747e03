// The names of the users and keys that fields like `createdBy` give by id: asked in batches, once each; knows no page.
import { SvelteMap } from 'svelte/reactivity';
import { ask } from './graphql';
import { authorNamesDocument } from './queries';

const MOST = 200;

class Authors {
  #names = new SvelteMap<string, string>();
  #asked = new Set<string>();
  #wanted: string[] = [];

  /** The id itself until its name is there, and where nobody has it any more. */
  name(id: string): string {
    if (id && !this.#asked.has(id)) this.#want(id);
    return this.#names.get(id) ?? id;
  }

  #want(id: string): void {
    this.#asked.add(id);
    if (this.#wanted.push(id) === 1) queueMicrotask(() => void this.#ask());
  }

  async #ask(): Promise<void> {
    for (let ids = this.#wanted.splice(0, MOST); ids.length > 0; ids = this.#wanted.splice(0, MOST))
      try {
        for (const { id, name } of (await ask(authorNamesDocument, { ids })).authors) this.#names.set(id, name);
      } catch {
        for (const id of ids) this.#asked.delete(id); // asked again when a page next shows them
      }
  }
}

export const authors = new Authors();
