// What the open page adds to the palette: its parts and what can be done there; emptied when the page is left.
import type { Target } from './palette';

class Offered {
  targets = $state.raw<readonly Target[]>([]);

  /** Until the returned function is called. */
  add(targets: readonly Target[]): () => void {
    this.targets = targets;
    return () => {
      if (this.targets === targets) this.targets = [];
    };
  }
}

export const offered = new Offered();
