/** The conversation's side of an element: its turns, asking the engine, stopping, and keeping it all through a reload. */
import type { ReactiveController, ReactiveControllerHost } from 'lit';
import { errorMessage, isAbortError, isTramontaneError, TramontaneError, toError } from '../base/errors.ts';
import type { ChatChunk, ChatMessage, ChatRequest, Engine, Progress } from '../engine/api.ts';
import {
  type AnswerEnd,
  type AnswerStatistics,
  CONVERSATION_VERSION,
  type ConversationMessage,
  type ConversationSettings,
  type ConversationStore,
} from '../storage/conversations.ts';
import { FrameScheduler } from '../ui/frame-scheduler.ts';
import type { AnswerProgress } from '../ui/message/message.ts';

/** While an answer is being written, it is saved this often. */
const SAVE_INTERVAL_MS = 1000;
/** How long to wait for another page to let go of the conversation: a page that is being reloaded does. */
const LOCK_WAIT_MS = 800;
/** While an answer is being written, its speed is told anew this often, from this long after its first token on. */
const RATE_INTERVAL_MS = 500;

export interface ConversationCallbacks {
  onSent(message: ConversationMessage): void;
  onFinished(message: ConversationMessage, error: Error | null): void;
  /** Reading or saving failed, or another tab holds the conversation. */
  onStorageProblem(error: TramontaneError): void;
}

let messageCount = 0;

function createMessage(
  role: 'user' | 'assistant',
  content: string,
  end: AnswerEnd | null,
): ConversationMessage {
  messageCount += 1;
  const createdAt = Date.now();
  return { id: `${createdAt.toString(36)}-${messageCount}`, role, content, createdAt, end };
}

function statisticsOf(chunk: ChatChunk): AnswerStatistics | null {
  const { usage, timings } = chunk;
  if (!usage || !timings) return null;
  return {
    promptTokens: usage.prompt_tokens,
    cachedTokens: usage.prompt_tokens_details.cached_tokens,
    completionTokens: usage.completion_tokens,
    timeToFirstTokenMs: timings.timeToFirstTokenMs,
    tokensPerSecond:
      timings.decodeTokens > 0 && timings.decodeMs > 0
        ? (timings.decodeTokens / timings.decodeMs) * 1000
        : null,
  };
}

function endOfError(error: unknown): AnswerEnd {
  if (isAbortError(error)) return { reason: 'abort', statistics: null, error: null };
  const ours = isTramontaneError(error) ? error : null;
  return {
    reason: 'error',
    statistics: null,
    error: {
      code: ours?.code ?? 'engine-failed',
      message: errorMessage(error),
      nextStep: ours?.nextStep ?? 'Try again. If it happens again, load the model anew.',
    },
  };
}

export class ConversationController implements ReactiveController {
  readonly #host: ReactiveControllerHost;
  readonly #callbacks: ConversationCallbacks;
  readonly #frames: FrameScheduler;

  messages: readonly ConversationMessage[] = [];
  /** Null until the person changes one. */
  settings: ConversationSettings | null = null;
  modelId: string | null = null;
  /** Why the conversation is not being saved; null while all is well, and without a key. */
  storageProblem: TramontaneError | null = null;

  #answering: AbortController | null = null;
  /** Text of the answer being written, ahead of `messages` by less than a frame. */
  #answerText = '';
  /** How far the answer being written is; null before anything is known of it, and while there is none. */
  progress: AnswerProgress | null = null;

  /** What {@link clear} took away, until something is sent. */
  #cleared: readonly ConversationMessage[] | null = null;

  #store: ConversationStore | null = null;
  #key: string | null = null;
  #releaseLock: (() => void) | null = null;
  #saving: Promise<void> = Promise.resolve();
  #saveTimer: ReturnType<typeof setTimeout> | undefined;
  #opened: Promise<void> = Promise.resolve();

  constructor(host: ReactiveControllerHost, callbacks: ConversationCallbacks) {
    this.#host = host;
    this.#callbacks = callbacks;
    this.#frames = new FrameScheduler(() => this.#showAnswer());
    host.addController(this);
  }

  get isAnswering(): boolean {
    return this.#answering !== null;
  }

  /** Resolves when the stored conversation has been read, or could not be. */
  get opened(): Promise<void> {
    return this.#opened;
  }

  /** Resolves when everything that is to be saved has been saved, or could not be. */
  get saved(): Promise<void> {
    if (this.#saveTimer !== undefined) this.#save();
    return this.#saving;
  }

  /** Tokens the model had in view at the end of its latest answer; null before that. */
  get contextTokens(): number | null {
    const statistics = this.messages.findLast((message) => message.end?.statistics)?.end?.statistics;
    return statistics ? statistics.promptTokens + statistics.completionTokens : null;
  }

  hostConnected(): void {
    addEventListener('pagehide', this.#onPageHide);
    document.addEventListener('visibilitychange', this.#onPageHide);
  }

  hostDisconnected(): void {
    removeEventListener('pagehide', this.#onPageHide);
    document.removeEventListener('visibilitychange', this.#onPageHide);
    this.stop();
    this.close();
  }

  /** Shows the conversation kept under `key`, and keeps it there from now on. */
  open(store: ConversationStore, key: string): Promise<void> {
    this.close();
    this.#opened = this.#open(store, key);
    return this.#opened;
  }

  async #open(store: ConversationStore, key: string): Promise<void> {
    this.#store = store;
    this.#key = key;
    const isCurrent = () => this.#store === store && this.#key === key;
    void this.#lock(key, isCurrent);
    try {
      const record = await store.load(key);
      if (!isCurrent() || record === null) return;
      // What was written before the record was read stays, after it.
      this.messages = [...record.messages, ...this.messages];
      this.settings ??= record.settings;
      this.modelId ??= record.modelId;
      this.#host.requestUpdate();
    } catch (error) {
      if (isCurrent()) this.#noteStorageProblem(error);
    }
  }

  /** Stops keeping the conversation; what was stored stays. */
  close(): void {
    if (this.#saveTimer !== undefined) this.#save();
    this.#store = null;
    this.#key = null;
    this.#releaseLock?.();
    this.#releaseLock = null;
    this.storageProblem = null;
    this.#cleared = null;
  }

  /** Two pages that save the same conversation would overwrite each other: the second does not save. */
  async #lock(key: string, isCurrent: () => boolean): Promise<void> {
    if (!navigator.locks) return;
    try {
      await navigator.locks.request(
        `tramontane-conversation ${key}`,
        { signal: AbortSignal.timeout(LOCK_WAIT_MS) },
        () =>
          new Promise<void>((resolve) => {
            if (isCurrent()) this.#releaseLock = resolve;
            else resolve();
          }),
      );
    } catch (cause) {
      if (!isCurrent()) return;
      this.#store = null;
      this.#noteStorageProblem(
        new TramontaneError('storage-failed', 'This conversation is open in another tab.', {
          cause,
          nextStep:
            'What you write here is not saved. Close the other tab and reload this one to go on here.',
        }),
      );
    }
  }

  /**
   * Sends a message and resolves when its answer has ended, in whatever way: `messages` tells. A text sent while an
   * answer is being written is refused.
   */
  async send(
    engine: Engine,
    text: string,
    systemPrompt: string | undefined,
    options: ChatRequestOptions,
  ): Promise<void> {
    if (this.#answering) return;
    this.#cleared = null;
    const question = createMessage('user', text, null);
    this.messages = [...this.messages, question];
    this.#callbacks.onSent(question);
    await this.#answer(engine, systemPrompt, options);
  }

  /** Answers the last question anew. */
  async regenerate(
    engine: Engine,
    systemPrompt: string | undefined,
    options: ChatRequestOptions,
  ): Promise<void> {
    if (this.#answering) return;
    const last = this.messages.findLastIndex((message) => message.role === 'user');
    if (last === -1) return;
    this.messages = this.messages.slice(0, last + 1);
    await this.#answer(engine, systemPrompt, options);
  }

  /** Ends the answer being written; what is there of it stays. */
  stop(): void {
    this.#answering?.abort(new DOMException('The answer was stopped.', 'AbortError'));
  }

  /** Forgets the conversation, on disk too; until something is sent, {@link restore} brings it back. */
  async clear(): Promise<void> {
    this.stop();
    if (this.messages.length > 0) this.#cleared = this.#endedMessages();
    this.#answering = null;
    this.progress = null;
    this.messages = [];
    this.#host.requestUpdate();
    await this.#opened;
    this.#save();
    await this.#saving;
  }

  get canRestore(): boolean {
    return this.#cleared !== null;
  }

  /** Brings back what {@link clear} took away. */
  restore(): void {
    if (this.#cleared === null) return;
    this.messages = this.#cleared;
    this.#cleared = null;
    this.#save();
    this.#host.requestUpdate();
  }

  /** The conversation, with what is there of an answer being written as one that was stopped. */
  #endedMessages(): readonly ConversationMessage[] {
    const draft = this.messages.at(-1);
    if (!this.isAnswering || draft?.role !== 'assistant') return this.messages;
    const end: AnswerEnd = { reason: 'abort', statistics: null, error: null };
    return [...this.messages.slice(0, -1), { ...draft, content: this.#answerText, end }];
  }

  /** Takes over settings and saves them. */
  setSettings(settings: ConversationSettings): void {
    this.settings = settings;
    this.#save();
    this.#host.requestUpdate();
  }

  async #answer(
    engine: Engine,
    systemPrompt: string | undefined,
    options: ChatRequestOptions,
  ): Promise<void> {
    const answering = new AbortController();
    const { signal } = answering;
    this.#answering = answering;
    const request: ChatRequest = { ...options, messages: requestMessages(this.messages, systemPrompt) };
    const draft = createMessage('assistant', '', null);
    this.messages = [...this.messages, draft];
    this.#answerText = '';
    this.progress = null;
    this.#host.requestUpdate();
    this.#scheduleSave();
    const isCurrent = () => this.#answering === answering;
    let end: AnswerEnd = { reason: 'stop', statistics: null, error: null };
    let failure: Error | null = null;
    const onProgress = (reading: Progress) => {
      if (isCurrent()) this.#showProgress({ reading, tokensPerSecond: null });
    };
    const rate = new AnswerRate();
    try {
      for await (const chunk of engine.streamChat(request, { signal, onProgress })) {
        if (!isCurrent()) return;
        const tokensPerSecond = rate.take(chunk.completion_tokens);
        if (tokensPerSecond !== null) this.#showProgress({ reading: null, tokensPerSecond });
        const choice = chunk.choices[0];
        if (choice?.delta.content) {
          this.#answerText += choice.delta.content;
          this.#frames.schedule();
          this.#scheduleSave();
        }
        if (choice?.finish_reason) {
          end = { reason: choice.finish_reason, statistics: statisticsOf(chunk), error: null };
        }
      }
    } catch (error) {
      end = endOfError(error);
      if (end.reason === 'error') failure = toError(error);
    }
    if (!isCurrent()) return;
    this.#frames.cancel();
    this.#answering = null;
    this.progress = null;
    const message: ConversationMessage = { ...draft, content: this.#answerText, end };
    this.messages = [...this.messages.slice(0, -1), message];
    this.#host.requestUpdate();
    this.#save();
    this.#callbacks.onFinished(message, failure);
  }

  #showProgress(progress: AnswerProgress): void {
    this.progress = progress;
    this.#host.requestUpdate();
  }

  #showAnswer(): void {
    const draft = this.messages.at(-1);
    if (!this.#answering || draft?.role !== 'assistant') return;
    this.messages = [...this.messages.slice(0, -1), { ...draft, content: this.#answerText }];
    this.#host.requestUpdate();
  }

  #scheduleSave(): void {
    this.#saveTimer ??= setTimeout(() => this.#save(), SAVE_INTERVAL_MS);
  }

  /** Saves after the save before has ended, so that the newest record is the last one written. */
  #save(): void {
    clearTimeout(this.#saveTimer);
    this.#saveTimer = undefined;
    const store = this.#store;
    const key = this.#key;
    if (!store || key === null) return;
    this.#saving = this.#saving.then(async () => {
      const messages = this.messages;
      try {
        if (messages.length === 0 && this.settings === null) await store.remove(key);
        else {
          await store.save(key, {
            version: CONVERSATION_VERSION,
            updatedAt: Date.now(),
            modelId: this.modelId,
            settings: this.settings,
            messages,
          });
        }
        if (this.storageProblem?.code === 'storage-quota') {
          this.storageProblem = null;
          this.#host.requestUpdate();
        }
      } catch (error) {
        if (this.#store === store) this.#noteStorageProblem(error);
      }
    });
  }

  #noteStorageProblem(error: unknown): void {
    const problem = isTramontaneError(error)
      ? error
      : new TramontaneError('storage-failed', `The conversation could not be kept: ${errorMessage(error)}.`, {
          cause: error,
        });
    const isNew =
      this.storageProblem?.code !== problem.code || this.storageProblem.message !== problem.message;
    this.storageProblem = problem;
    this.#host.requestUpdate();
    if (isNew) this.#callbacks.onStorageProblem(problem);
  }

  readonly #onPageHide = (): void => {
    if (document.visibilityState === 'hidden' && this.#saveTimer !== undefined) {
      this.#showAnswer();
      this.#save();
    }
  };
}

/** How fast an answer comes, since its first token. */
class AnswerRate {
  #first: { tokens: number; atMs: number } | null = null;
  #toldAtMs = 0;

  /** @param tokens generated so far. @returns tokens per second, or null where it is too early to tell anew */
  take(tokens: number): number | null {
    const atMs = performance.now();
    if (this.#first === null) {
      this.#first = { tokens, atMs };
      this.#toldAtMs = atMs;
    }
    if (atMs - this.#toldAtMs < RATE_INTERVAL_MS) return null;
    this.#toldAtMs = atMs;
    return ((tokens - this.#first.tokens) / (atMs - this.#first.atMs)) * 1000;
  }
}

/** What a request takes besides its messages. */
export type ChatRequestOptions = Omit<ChatRequest, 'messages'>;

/** The conversation as the engine gets it: text as typed, answers that never began left out. */
function requestMessages(
  messages: readonly ConversationMessage[],
  systemPrompt: string | undefined,
): ChatMessage[] {
  return [
    ...(systemPrompt ? [{ role: 'system' as const, content: systemPrompt }] : []),
    ...messages
      .filter((message) => message.role === 'user' || message.content !== '')
      .map(({ role, content }) => ({ role, content })),
  ];
}
