// Shows the characters that turn the order of text, which nobody sees, wherever a page writes them; knows no page.

const TURNING = /[\u202a-\u202e\u2066-\u2069]/g;
const SHOWN: MutationObserverInit = {
  childList: true,
  characterData: true,
  subtree: true,
  attributes: true,
  attributeFilter: ['title'],
};

/** `safe\u202egpj.exe` -> `safe[U+202E]gpj.exe`. */
export function visible(text: string): string {
  return text.replace(TURNING, (each) => `[U+${each.charCodeAt(0).toString(16).toUpperCase()}]`);
}

/** Keeps all text and tooltips below `root` visible; what is in fields and editors stays as it was typed. */
export function showTurning(root: Node): void {
  new MutationObserver((changes) => {
    for (const { type, target, addedNodes } of changes)
      if (type === 'childList') addedNodes.forEach(showIn);
      else showOne(target);
  }).observe(root, SHOWN);
}

function showIn(added: Node): void {
  const walk = document.createTreeWalker(added, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_ELEMENT);
  for (let node: Node | null = added; node; node = walk.nextNode()) showOne(node);
}

function showOne(node: Node): void {
  if (node instanceof Text) {
    if (node.data !== visible(node.data)) node.data = visible(node.data);
  } else if (node instanceof HTMLElement && node.title !== visible(node.title)) node.title = visible(node.title);
}
