// Names each cell of a table by its column: base.css shows the names where a row is drawn as a card; knows no page.

/** Keeps the cells below `root` named while rows come and go. */
export function named(root: HTMLElement): () => void {
  const watch = new MutationObserver(() => root.querySelectorAll<HTMLTableElement>('table:not(.rows)').forEach(name));
  watch.observe(root, { childList: true, subtree: true, characterData: true });
  return () => watch.disconnect();
}

function name(table: HTMLTableElement): void {
  const columns = [...(table.tHead?.rows[0]?.cells ?? [])].map((each) => each.textContent.trim());
  for (const { cells } of [...table.tBodies].flatMap((body) => [...body.rows])) {
    let at = 0;
    for (const cell of cells) {
      const column = columns[at] ?? '';
      if (cell.colSpan === 1 && cell.dataset['column'] !== column) cell.dataset['column'] = column;
      at += cell.colSpan;
    }
  }
}
