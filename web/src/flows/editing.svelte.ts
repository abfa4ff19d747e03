// One flow being edited: its document, what the server says of it, what is selected, and the draft that keeps it.
import { asFailure, Failure } from '../api/failure';
import { ask } from '../api/graphql';
import { keep, kept } from '../api/kept';
import { reach } from '../api/reach.svelte';
import { FlowDocument } from './document/doc.svelte';
import { Refused, type Gesture } from './document/splices';
import type { Tree } from './document/tree';
import { offsetOf, units } from './document/places';
import {
  flowCheckDocument,
  flowDraftDropDocument,
  flowDraftSaveDocument,
  flowOpenDocument,
  flowVersionTextsDocument,
  flowVocabularyDocument,
  type Finding,
  type FlowEdge,
  type FlowNode,
  type FlowOpen,
  type FlowVocabulary,
} from './queries';

const CHECK_MS = 250;
const SAVE_MS = 2_000;

export interface Graph {
  nodes: FlowNode[];
  edges: FlowEdge[];
}
export type Live = NonNullable<FlowOpen['flow']>;
/** A text that is in this tab alone, and what it was made from. */
interface Kept {
  text: string;
  saved: number;
  base: { version: string; text: string };
}
type Saving = 'saved' | 'waiting' | 'saving' | 'failed';

export class FlowEditing {
  readonly document = new FlowDocument();
  /** The last good picture: of a text that is no YAML, of the one before. */
  graph = $state.raw<Graph>({ nodes: [], edges: [] });
  findings = $state.raw<Finding[]>([]);
  valid = $state(false);
  /** The text that graph and findings are of. */
  checked = $state.raw('');
  checkFailure = $state.raw<Failure | null>(null);
  vocabulary = $state.raw<FlowVocabulary | null>(null);

  selected = $state('');
  /** What a gesture did, or why it was refused; read aloud. */
  said = $state('');
  refused = $state(false);

  live = $state.raw<Live | null>(null);
  environments = $state.raw<FlowOpen['flowsByEnvironment']>([]);
  /** The published text that this one is made from, and its version. */
  base = $state.raw({ version: '', text: '' });
  others = $state.raw<FlowOpen['flowDrafts']>([]);
  file = $state('');
  /** The repository that publishing commits to; null: none. */
  git = $state.raw<FlowOpen['gitSync']>(null);
  opened = $state(false);
  failure = $state.raw<Failure | null>(null);
  saving = $state<Saving>('saved');
  saved = $state(0);
  saveFailure = $state.raw<Failure | null>(null);
  layout = $state.raw<Record<string, unknown>>({});

  #check: ReturnType<typeof setTimeout> | undefined;
  #asked = 0;
  #save: ReturnType<typeof setTimeout> | undefined;
  #running: Promise<void> = Promise.resolve();
  #closed = false;

  constructor(readonly name: string) {
    this.document.changed = (gesture) => {
      if (this.saveFailure) this.#keep();
      this.#checkLater(gesture ? 0 : CHECK_MS);
      this.saveLater();
    };
  }

  get dirty(): boolean {
    return this.document.file !== this.base.text;
  }

  node(id: string): FlowNode | null {
    return this.graph.nodes.find((each) => each.id === id) ?? null;
  }

  get mistakes(): number {
    return this.findings.filter((each) => each.severity === 'error').length + (this.document.tree.wrong ? 1 : 0);
  }

  /** `version`: an earlier one, whose text is put over what is live unless there is a draft. */
  async open(version = ''): Promise<void> {
    try {
      const vocabulary = ask(flowVocabularyDocument, {}).then((found) => (this.vocabulary = found));
      await this.reload();
      this.document.open(this.#draft?.text ?? this.base.text);
      this.opened = true;
      this.failure = null;
      this.#takeKept();
      if (version && version !== this.live?.version && !this.#draft) await this.take(version);
      await Promise.all([this.check(), vocabulary]);
    } catch (cause) {
      this.failure = asFailure(cause);
      if (this.failure.code === 'unreachable') void reach.back().then(() => (this.#closed ? null : this.open(version)));
    }
  }

  /** The text of a version takes the place of this one, as one step of undo. */
  async take(version: string): Promise<void> {
    const text = await this.textOf(version);
    this.document.replace(0, this.document.text.length, text.replaceAll('\r\n', '\n'));
    this.tell(`The text is that of version ${version.slice(0, 8)}; undo brings yours back.`);
  }

  async textOf(version: string): Promise<string> {
    const { flowVersions } = await ask(flowVersionTextsDocument, { name: this.name });
    const found = flowVersions.find((each) => each.version === version);
    if (!found)
      throw new Failure(`There is no version ${version.slice(0, 8)}.`, 'It may be older than those kept.', '');
    return found.text;
  }

  #draft: FlowOpen['flowDraft'] = null;

  /** Asks what is live now; the text stays. */
  async reload(): Promise<void> {
    const found = await ask(flowOpenDocument, { name: this.name });
    this.live = found.flow;
    this.#draft = found.flowDraft;
    this.saved = found.flowDraft?.saved ?? 0;
    this.layout = (found.flowDraft?.layout ?? {}) as Record<string, unknown>;
    if (!this.opened) this.base = this.#begun(found);
    this.others = found.flowDrafts.filter((each) => each.name === this.name && !each.mine);
    this.file = found.flowFiles.find((each) => each.name === this.name)?.file ?? '';
    this.git = found.gitSync;
    this.environments = found.flowsByEnvironment;
  }

  /** A draft of an earlier version says which; its text is kept with the draft. */
  #begun(found: FlowOpen): { version: string; text: string } {
    const live = { version: found.flow?.version ?? '', text: found.flow?.text ?? '' };
    const draft = found.flowDraft;
    if (!draft || draft.baseVersion === live.version) return live;
    const base = (draft.layout as { base?: unknown } | null)?.base;
    return { version: draft.baseVersion, text: typeof base === 'string' ? base : live.text };
  }

  /** One change of the text. What cannot be done so is said, and changes nothing. */
  perform(make: (tree: Tree) => Gesture, said: string): boolean {
    try {
      this.document.perform(make);
    } catch (cause) {
      if (!(cause instanceof Refused)) throw cause;
      this.tell(cause.message, true);
      return false;
    }
    this.tell(said);
    return true;
  }

  tell(said: string, refused = false): void {
    this.said = said;
    this.refused = refused;
  }

  fix(finding: Finding, number: number): void {
    const fix = finding.fixes[number];
    if (!fix || this.checked !== this.document.text) return;
    const from = units(this.checked, fix.start);
    this.document.replace(from, units(this.checked, fix.end), fix.text);
    this.tell(`${fix.title}: done.`);
  }

  place(finding: { line: number; column: number }): number {
    return offsetOf(this.document.text, finding.line, finding.column);
  }

  /** Resolves when graph and findings are of the text as it is. */
  async check(): Promise<void> {
    clearTimeout(this.#check);
    const text = this.document.text;
    if (text === this.checked) return;
    const number = ++this.#asked;
    try {
      const { checkFlow } = await ask(flowCheckDocument, { text });
      if (number !== this.#asked) return;
      this.findings = checkFlow.findings;
      this.valid = checkFlow.valid;
      if (checkFlow.graph && !this.document.tree.wrong) this.graph = checkFlow.graph;
      this.checked = text;
      this.checkFailure = null;
      if (this.selected && !this.node(this.selected) && !this.document.tree.wrong) this.selected = '';
    } catch (cause) {
      if (number !== this.#asked) return;
      this.checkFailure = asFailure(cause);
      if (this.checkFailure.code === 'unreachable') void reach.back().then(() => this.#checkLater(CHECK_MS));
    }
  }

  #checkLater(ms: number): void {
    clearTimeout(this.#check);
    this.#check = setTimeout(() => void this.check(), ms);
  }

  saveLater(): void {
    this.saving = 'waiting';
    clearTimeout(this.#save);
    this.#save = setTimeout(() => void this.save(), SAVE_MS);
  }

  /** Saves the draft, or forgets it where nothing differs from what is live. */
  save(): Promise<void> {
    clearTimeout(this.#save);
    this.#running = this.#running.then(() => this.#saveNow());
    return this.#running;
  }

  async #saveNow(): Promise<void> {
    this.saving = 'saving';
    const text = this.document.file;
    try {
      if (!this.dirty && this.live && this.saved > 0) {
        await ask(flowDraftDropDocument, { name: this.name });
        this.saved = 0;
      } else if (this.dirty) {
        const layout = { ...this.layout, base: this.base.text };
        const { saveFlowDraft } = await ask(flowDraftSaveDocument, {
          name: this.name,
          text,
          baseVersion: this.base.version,
          layout,
          expectedSaved: this.saved,
        });
        this.saved = saveFlowDraft.saved;
      }
      this.saving = text === this.document.file ? 'saved' : 'waiting';
      this.saveFailure = null;
      if (this.saving === 'saved') keep(`flow ${this.name}`, null);
    } catch (cause) {
      this.saving = 'failed';
      this.saveFailure = asFailure(cause);
      this.#keep();
      if (this.saveFailure.code === 'unreachable') void reach.back().then(() => this.saveLater());
    }
  }

  /** My other tab saved meanwhile: this text takes its place. */
  async saveOver(): Promise<void> {
    const found = await ask(flowOpenDocument, { name: this.name });
    this.saved = found.flowDraft?.saved ?? 0;
    await this.save();
  }

  /** What was published now is what the text is made from. */
  published(version: string): void {
    this.base = { version, text: this.document.file };
    void this.reload().then(() => this.save());
  }

  /** What no draft on the server has yet stays in this tab. */
  #keep(): void {
    keep(`flow ${this.name}`, { text: this.document.file, saved: this.saved, base: this.base } satisfies Kept);
  }

  #takeKept(): void {
    const found = kept<Kept>(`flow ${this.name}`);
    if (!found || found.text === this.document.file) return keep(`flow ${this.name}`, null);
    this.document.open(found.text);
    this.base = found.base;
    this.saved = found.saved;
    this.saveLater();
    this.tell('Here is what you typed before it could be saved.');
  }

  close(): void {
    this.#closed = true;
    if (this.saving !== 'saved') this.#keep();
    clearTimeout(this.#check);
    if (this.saving === 'waiting') void this.save();
    clearTimeout(this.#save);
    this.document.unmount();
  }
}
