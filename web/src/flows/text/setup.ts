// How the text of a flow is edited: colors by the studio's tokens, completion, findings as marks with their fixes.
import {
  acceptCompletion,
  autocompletion,
  closeBrackets,
  closeBracketsKeymap,
  completionKeymap,
  type CompletionContext,
  type CompletionResult,
} from '@codemirror/autocomplete';
import { defaultKeymap, historyKeymap, indentLess, indentMore } from '@codemirror/commands';
import { yaml } from '@codemirror/lang-yaml';
import {
  bracketMatching,
  foldGutter,
  foldKeymap,
  HighlightStyle,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from '@codemirror/language';
import { lintGutter, lintKeymap, setDiagnostics, type Diagnostic } from '@codemirror/lint';
import { highlightSelectionMatches, search, searchKeymap } from '@codemirror/search';
import { StateEffect, StateField, type Extension } from '@codemirror/state';
import {
  Decoration,
  drawSelection,
  highlightSpecialChars,
  EditorView,
  highlightActiveLine,
  keymap,
  lineNumbers,
  type DecorationSet,
} from '@codemirror/view';
import { tags } from '@lezer/highlight';
import { units } from '../document/places';
import type { FlowEditing } from '../editing.svelte';
import { suggest } from './complete';

const look = EditorView.theme({
  '&': { height: '100%', fontSize: '13px', color: 'var(--ink)', backgroundColor: 'var(--sheet)' },
  '&.cm-focused': { outline: 'none' },
  '.cm-scroller': { fontFamily: 'var(--mono)', lineHeight: '1.6', overflow: 'auto' },
  '.cm-content': { caretColor: 'var(--ink)', padding: '10px 0' },
  '.cm-gutters': {
    backgroundColor: 'var(--sunk)',
    color: 'var(--faint)',
    border: 'none',
    borderRight: '1px solid var(--line)',
  },
  '.cm-activeLine, .cm-activeLineGutter': { backgroundColor: 'color-mix(in srgb, var(--lead) 7%, transparent)' },
  '.cm-cursor': { borderLeftColor: 'var(--ink)' },
  '&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground': {
    backgroundColor: 'color-mix(in srgb, var(--lead) 28%, transparent)',
  },
  '.cm-node': {
    backgroundColor: 'color-mix(in srgb, var(--lead) 6%, transparent)',
    boxShadow: 'inset 3px 0 0 var(--lead)',
  },
  '.cm-tooltip': {
    backgroundColor: 'var(--sheet)',
    border: '1px solid var(--line-strong)',
    borderRadius: '7px',
    color: 'var(--ink)',
    maxWidth: '34rem',
  },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li': { padding: '3px 8px', color: 'var(--ink)' },
  '.cm-tooltip.cm-tooltip-autocomplete > ul > li[aria-selected]': {
    backgroundColor: 'var(--lead)',
    color: 'var(--lead-ink)',
  },
  '.cm-completionDetail': { fontStyle: 'normal', opacity: '0.8', marginLeft: '1em' },
  '.cm-completionMatchedText': { textDecoration: 'none', fontWeight: '700' },
  '.cm-diagnosticAction': {
    backgroundColor: 'var(--lead)',
    color: 'var(--lead-ink)',
    borderRadius: '5px',
    padding: '3px 8px',
  },
  '.cm-panels': { backgroundColor: 'var(--sunk)', color: 'var(--ink)' },
  '.cm-panels input, .cm-panels button': {
    color: 'var(--ink)',
    backgroundColor: 'var(--sheet)',
    backgroundImage: 'none',
    border: '1px solid var(--line-strong)',
    borderRadius: '5px',
  },
});

const colors = HighlightStyle.define([
  { tag: [tags.propertyName, tags.definition(tags.propertyName)], color: 'var(--lead)' },
  { tag: [tags.string, tags.special(tags.string)], color: 'var(--small)' },
  { tag: [tags.number, tags.bool, tags.null, tags.keyword], color: 'var(--large)' },
  { tag: tags.comment, color: 'var(--faint)', fontStyle: 'italic' },
  { tag: tags.content, color: 'var(--ink)' },
  { tag: [tags.punctuation, tags.separator, tags.squareBracket, tags.brace], color: 'var(--soft)' },
]);

const showNode = StateEffect.define<{ from: number; to: number } | null>();
const nodeLines = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update(lines, transaction) {
    let shown = lines.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (!effect.is(showNode)) continue;
      if (effect.value === null) return Decoration.none;
      const { doc } = transaction.state;
      const marks = [];
      const last = Math.min(effect.value.to, doc.lines);
      for (let line = effect.value.from; line <= last; line += 1)
        marks.push(Decoration.line({ class: 'cm-node' }).range(doc.line(line).from));
      shown = Decoration.set(marks);
    }
    return shown;
  },
  provide: (field) => EditorView.decorations.from(field),
});

export function extensions(editing: FlowEditing, save: () => void): Extension {
  return [
    ...[
      lineNumbers(),
      highlightSpecialChars(),
      foldGutter(),
      drawSelection(),
      indentOnInput(),
      bracketMatching(),
      closeBrackets(),
    ],
    ...[highlightActiveLine(), highlightSelectionMatches(), search({ top: true }), indentUnit.of('  '), yaml()],
    ...[syntaxHighlighting(colors), look, lintGutter(), nodeLines, EditorView.lineWrapping],
    autocompletion({ override: [(context) => complete(editing, context)], icons: false }),
    EditorView.contentAttributes.of({ 'aria-label': 'Text of the flow' }),
    keymap.of([
      { key: 'Mod-s', run: () => (save(), true), preventDefault: true },
      { key: 'Tab', run: (view) => acceptCompletion(view) || (!view.state.selection.main.empty && indentMore(view)) },
      { key: 'Shift-Tab', run: (view) => !view.state.selection.main.empty && indentLess(view) },
      ...closeBracketsKeymap,
      ...searchKeymap,
      ...historyKeymap,
      ...foldKeymap,
      ...completionKeymap,
      ...lintKeymap,
      ...defaultKeymap,
    ]),
  ];
}

function complete(editing: FlowEditing, context: CompletionContext): CompletionResult | null {
  const { vocabulary, graph, document } = editing;
  if (!vocabulary) return null;
  const text = context.state.doc.toString();
  const found = suggest(text, context.pos, { graph, vocabulary, data: document.tree.data });
  if (!found || found.options.length === 0) return null;
  if (
    !context.explicit &&
    found.from === context.pos &&
    !/[{|.]\s?$|: $/.test(text.slice(Math.max(0, context.pos - 3), context.pos))
  )
    return null;
  return { from: found.from, options: found.options, validFor: /^[\w.-]*$/ };
}

/** Puts what the server found at its lines, with a button for each fix. */
export function showFindings(view: EditorView, editing: FlowEditing): void {
  const text = view.state.doc.toString();
  const wrong = editing.document.tree.wrong;
  const found: Diagnostic[] = editing.findings.map((each, index) => {
    const from = Math.min(editing.place(each), text.length);
    const end = text.indexOf('\n', from);
    const to = end < 0 ? text.length : end;
    return {
      from,
      to: Math.max(from, to),
      severity: each.severity === 'error' ? 'error' : 'warning',
      message: each.hint ? `${each.message}. ${each.hint}` : each.message,
      actions: each.fixes.map((fix, number) => ({
        name: fix.title,
        apply: () => editing.fix(editing.findings[index] ?? each, number),
      })),
    };
  });
  if (wrong && editing.findings.length === 0)
    found.push({
      from: Math.min(wrong.from, text.length),
      to: Math.min(wrong.to, text.length),
      severity: 'error',
      message: wrong.message,
    });
  view.dispatch(setDiagnostics(view.state, found));
}

/** Marks the lines of the chosen node, and brings them into view unless the cursor is there. */
export function showLines(view: EditorView, lines: { from: number; to: number } | null, scroll: boolean): void {
  const effects: StateEffect<unknown>[] = [showNode.of(lines)];
  if (lines && scroll && lines.from <= view.state.doc.lines) {
    const at = view.state.doc.line(lines.from).from;
    effects.push(EditorView.scrollIntoView(at, { y: 'start', yMargin: 60 }));
  }
  view.dispatch({ effects });
}

export { units };
