// Where the browser is, as state; follows links of this origin without loading a page; knows no page.

class Router {
  url = $state.raw(new URL(location.href));

  constructor() {
    addEventListener('popstate', () => {
      this.url = new URL(location.href);
    });
    document.addEventListener('click', (event) => this.#follow(event));
  }

  get path(): string {
    return this.url.pathname;
  }

  get query(): URLSearchParams {
    return this.url.searchParams;
  }

  go(to: string, replace = false): void {
    const url = new URL(to, location.href);
    const moved = url.pathname !== this.url.pathname;
    if (replace) history.replaceState(null, '', url);
    else history.pushState(null, '', url);
    this.url = url;
    if (moved) scrollTo(0, 0);
  }

  /** Puts `query` into the address without a new entry in the history; empty values are left out. */
  search(query: Record<string, string | readonly string[]>): void {
    const pairs = Object.entries(query).flatMap(([name, value]) =>
      (typeof value === 'string' ? [value] : value).filter(Boolean).map((each) => [name, each]),
    );
    const search = pairs.length > 0 ? `?${new URLSearchParams(pairs).toString()}` : '';
    if (search !== location.search) this.go(location.pathname + search, true);
  }

  #follow(event: MouseEvent): void {
    if (
      event.defaultPrevented ||
      event.button !== 0 ||
      event.metaKey ||
      event.ctrlKey ||
      event.shiftKey ||
      event.altKey
    )
      return;
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link?.href || link.target || link.hasAttribute('download')) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || link.dataset['outside'] !== undefined) return;
    if (url.pathname === location.pathname && url.hash) return;
    event.preventDefault();
    this.go(url.href);
  }
}

export const router = new Router();
