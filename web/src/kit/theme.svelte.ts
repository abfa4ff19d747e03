// Light or dark, as the system says or as chosen here; the one thing that this browser remembers.

const KEY = 'sizewise.look';

class Theme {
  look = $state('system');

  constructor() {
    try {
      this.look = localStorage.getItem(KEY) ?? 'system';
    } catch {
      // Storage is off: the choice lasts as long as the tab.
    }
    this.#show();
  }

  set(look: string): void {
    this.look = look;
    try {
      localStorage.setItem(KEY, look);
    } catch {
      // As above.
    }
    this.#show();
  }

  #show(): void {
    const root = document.documentElement;
    if (this.look === 'system') delete root.dataset['theme'];
    else root.dataset['theme'] = this.look;
  }
}

export const theme = new Theme();
