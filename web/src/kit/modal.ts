// Opens a dialog over the page; gives the focus back when it goes, however it goes.

/** To the element that had it; to the page's title where that is gone. */
export function modal(dialog: HTMLDialogElement): () => void {
  const opener = document.activeElement;
  dialog.showModal();
  return () => {
    // Escape tells of the close later: what listens would close the dialog that is opened next.
    dialog.addEventListener('close', (event) => event.stopImmediatePropagation(), { capture: true });
    const { activeElement } = document;
    if (activeElement && activeElement !== document.body && !dialog.contains(activeElement)) return;
    dialog.close();
    const goal = opener?.isConnected && opener !== document.body ? opener : document.querySelector('h1');
    if (goal instanceof HTMLElement) goal.focus();
  };
}
