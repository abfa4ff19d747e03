// Which models are large: asked once, so that each page draws them in the same color.
import { ask } from './graphql';
import { modelSizesDocument } from './queries';
import { session } from './session.svelte';

class Sizes {
  /** Name of a model -> `tiny`, `slm`, `llm` or `unknown`. */
  of = $state.raw<Record<string, string>>({});
  #asked = false;

  /** Asks once; without the permission all models are drawn alike. */
  load(): void {
    if (this.#asked || !session.may(['ask', 'read_models'])) return;
    this.#asked = true;
    ask(modelSizesDocument, {}).then(
      (found) => (this.of = Object.fromEntries(found.models.map((each) => [each.name, each.size]))),
      () => (this.#asked = false),
    );
  }
}

export const sizes = new Sizes();
