/**
 * Conversations as they survive a reload: one versioned record per key, in an IndexedDB database of their own. This
 * module knows nothing of engines or pages; it stores plain values and checks them when it reads them back.
 */
import { errorMessage, isTramontaneError, TramontaneError } from '../base/errors.ts';
import { IndexedDbValues, isQuotaError, type KeyValueStore, MemoryValues } from './key-value.ts';

export const CONVERSATION_VERSION = 1;

export interface AnswerStatistics {
  promptTokens: number;
  cachedTokens: number;
  completionTokens: number;
  timeToFirstTokenMs: number;
  /** Null for answers too short to measure. */
  tokensPerSecond: number | null;
}

/** How an answer ended. */
export interface AnswerEnd {
  reason: 'stop' | 'length' | 'abort' | 'error';
  statistics: AnswerStatistics | null;
  error: { code: string; message: string; nextStep: string | null } | null;
}

export interface ConversationMessage {
  id: string;
  role: 'user' | 'assistant';
  /** As typed, or as the model wrote it. */
  content: string;
  /** Milliseconds since 1970. */
  createdAt: number;
  /** Answers only. Null while one is being written, and for ever when the page went away meanwhile. */
  end: AnswerEnd | null;
}

/** What a person chose in the settings; absent fields leave the model's defaults. */
export interface ConversationSettings {
  systemPrompt?: string;
  temperature?: number;
  topP?: number;
  maxTokens?: number;
  seed?: number;
  topK?: number;
  minP?: number;
  repetitionPenalty?: number;
  presencePenalty?: number;
  frequencyPenalty?: number;
  /** Tokens of context to load the model with. */
  contextLength?: number;
}

export interface ConversationRecord {
  version: typeof CONVERSATION_VERSION;
  updatedAt: number;
  modelId: string | null;
  /** Null where the person never changed one. */
  settings: ConversationSettings | null;
  messages: readonly ConversationMessage[];
}

export interface ConversationStore {
  /**
   * @returns The record, or null if there is none.
   * @throws TramontaneError `format-invalid` for a record that this version cannot read (it is set aside under
   * another key, so that saving does not destroy it); `storage-failed`.
   */
  load(key: string): Promise<ConversationRecord | null>;
  /** @throws TramontaneError `storage-quota`, `storage-failed`; the record stored before is kept. */
  save(key: string, record: ConversationRecord): Promise<void>;
  /** Forgets a record; fine if there is none. @throws TramontaneError `storage-failed` */
  remove(key: string): Promise<void>;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isMessage(value: unknown): value is ConversationMessage {
  return (
    isRecord(value) &&
    typeof value.id === 'string' &&
    (value.role === 'user' || value.role === 'assistant') &&
    typeof value.content === 'string' &&
    typeof value.createdAt === 'number' &&
    (value.end === null || (isRecord(value.end) && typeof value.end.reason === 'string'))
  );
}

/** Checks what came out of the database. @throws TramontaneError `format-invalid` */
export function parseConversation(value: unknown): ConversationRecord {
  const problem = !isRecord(value)
    ? 'it is not a record'
    : value.version !== CONVERSATION_VERSION
      ? `its version is ${String(value.version)}, this page reads ${CONVERSATION_VERSION}`
      : !(value.modelId === null || typeof value.modelId === 'string')
        ? 'its model is not a name'
        : !(value.settings === null || isRecord(value.settings))
          ? 'its settings are not a record'
          : !Array.isArray(value.messages) || !value.messages.every(isMessage)
            ? 'its messages are not messages'
            : null;
  if (problem !== null) {
    throw new TramontaneError('format-invalid', `The saved conversation cannot be read: ${problem}.`, {
      nextStep: 'It was kept aside, and a new conversation was begun.',
    });
  }
  return value as ConversationRecord;
}

function storageError(operation: string, key: string, cause: unknown): TramontaneError {
  if (isTramontaneError(cause)) return cause;
  return isQuotaError(cause)
    ? new TramontaneError('storage-quota', 'There is no space left to save the conversation.', {
        cause,
        nextStep: 'Free space on this device, or remove models you no longer use. The chat itself goes on.',
        data: { key, operation },
      })
    : new TramontaneError(
        'storage-failed',
        `The conversation could not be ${operation}: ${errorMessage(cause)}.`,
        {
          cause,
          nextStep:
            'The chat goes on, but will be gone after a reload. Private windows often do not store anything.',
          data: { key, operation },
        },
      );
}

/** Where an unreadable record is kept. */
export function asideKey(key: string): string {
  return `${key} (unreadable)`;
}

class KeyValueConversationStore implements ConversationStore {
  readonly #values: KeyValueStore;

  constructor(values: KeyValueStore) {
    this.#values = values;
  }

  async load(key: string): Promise<ConversationRecord | null> {
    return await attempt('read', key, async () => {
      const value = await this.#values.get(key);
      if (value === undefined) return null;
      try {
        return parseConversation(value);
      } catch (error) {
        await this.#values.change({ delete: [key], put: [[asideKey(key), value]] });
        throw error;
      }
    });
  }

  async save(key: string, record: ConversationRecord): Promise<void> {
    await attempt('saved', key, () => this.#values.change({ put: [[key, record]] }));
  }

  async remove(key: string): Promise<void> {
    await attempt('removed', key, () => this.#values.change({ delete: [key] }));
  }
}

async function attempt<T>(operation: string, key: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw storageError(operation, key, cause);
  }
}

export class IndexedDbConversationStore extends KeyValueConversationStore {
  constructor(name = 'tramontane-conversations') {
    super(new IndexedDbValues(name, 'records'));
  }
}

/** Keeps records as long as the page lives. */
export class MemoryConversationStore extends KeyValueConversationStore {
  constructor() {
    super(new MemoryValues());
  }
}
