import { describe, expect, test } from 'vitest';
import {
  asideKey,
  CONVERSATION_VERSION,
  type ConversationRecord,
  type ConversationStore,
  IndexedDbConversationStore,
  MemoryConversationStore,
} from './conversations.ts';
import { IndexedDbValues } from './key-value.ts';

let databases = 0;
const databaseName = () => `conversations-test-${Date.now()}-${databases++}`;

function record(content: string): ConversationRecord {
  return {
    version: CONVERSATION_VERSION,
    updatedAt: 1,
    modelId: 'm',
    settings: { temperature: 0, systemPrompt: 'short' },
    messages: [
      { id: '1', role: 'user', content, createdAt: 1, end: null },
      {
        id: '2',
        role: 'assistant',
        content: 'yes',
        createdAt: 2,
        end: { reason: 'stop', statistics: null, error: null },
      },
    ],
  };
}

const stores: [string, () => ConversationStore][] = [
  ['IndexedDB', () => new IndexedDbConversationStore(databaseName())],
  ['memory', () => new MemoryConversationStore()],
];

describe.each(stores)('a conversation store in %s', (_name, create) => {
  test('has nothing at first, and says so with null', async () => {
    expect(await create().load('k')).toBeNull();
  });

  test('gives back what was saved, text as typed', async () => {
    const store = create();
    const text = `$& {function_string} [INST] </s> \u0000 \ud83c\udf2c\ufe0f\r\n\t\ud800`;
    await store.save('k', record(text));
    expect(await store.load('k')).toEqual(record(text));
  });

  test('keeps keys apart and the newest record of each', async () => {
    const store = create();
    await store.save('a', record('old'));
    await store.save('b', record('b'));
    await store.save('a', record('new'));
    expect((await store.load('a'))?.messages[0]?.content).toBe('new');
    expect((await store.load('b'))?.messages[0]?.content).toBe('b');
  });

  test('keeps what it was given, not what the caller makes of it later', async () => {
    const store = create();
    const mutable = record('before') as { messages: { content: string }[] } & ConversationRecord;
    await store.save('k', mutable);
    mutable.messages[0]!.content = 'after';
    expect((await store.load('k'))?.messages[0]?.content).toBe('before');
  });

  test('forgets, also what is not there', async () => {
    const store = create();
    await store.save('k', record('x'));
    await store.remove('k');
    await store.remove('k');
    expect(await store.load('k')).toBeNull();
  });

  test('a record of another version is refused once and kept aside', async () => {
    const store = create();
    await store.save('k', { ...record('precious'), version: 2 } as unknown as ConversationRecord);
    await expect(store.load('k')).rejects.toMatchObject({ code: 'format-invalid' });
    expect(await store.load('k')).toBeNull();
    await store.save('k', record('new'));
    expect((await store.load('k'))?.messages[0]?.content).toBe('new');
  });
});

describe('IndexedDB', () => {
  test('another store on the same database sees the record: it survives a reload', async () => {
    const name = databaseName();
    await new IndexedDbConversationStore(name).save('k', record('kept'));
    expect((await new IndexedDbConversationStore(name).load('k'))?.messages[0]?.content).toBe('kept');
  });

  test.each([
    ['text', 'hello'],
    ['messages that are none', { ...record('x'), messages: [{ role: 'user' }] }],
    ['a list for settings', { ...record('x'), settings: [] }],
  ])('%s in the database is set aside, unharmed', async (_what, value) => {
    const name = databaseName();
    const raw = new IndexedDbValues(name, 'records');
    await raw.change({ put: [['k', value]] });
    await expect(new IndexedDbConversationStore(name).load('k')).rejects.toMatchObject({
      code: 'format-invalid',
    });
    expect(await raw.get(asideKey('k'))).toEqual(value);
  });

  test('a database that does not open is a typed error, and the next call tries again', async () => {
    const name = databaseName();
    const store = new IndexedDbConversationStore(name);
    const open = IDBFactory.prototype.open;
    IDBFactory.prototype.open = () => {
      throw new DOMException('no', 'InvalidStateError');
    };
    try {
      await expect(store.load('k')).rejects.toMatchObject({ code: 'storage-failed' });
    } finally {
      IDBFactory.prototype.open = open;
    }
    await store.save('k', record('x'));
    expect(await store.load('k')).toEqual(record('x'));
  });

  test('a full disk is its own error, and the record before is kept', async () => {
    const store = new IndexedDbConversationStore(databaseName());
    await store.save('k', record('before'));
    const put = IDBObjectStore.prototype.put;
    IDBObjectStore.prototype.put = () => {
      throw new DOMException('full', 'QuotaExceededError');
    };
    try {
      await expect(store.save('k', record('after'))).rejects.toMatchObject({ code: 'storage-quota' });
    } finally {
      IDBObjectStore.prototype.put = put;
    }
    expect((await store.load('k'))?.messages[0]?.content).toBe('before');
  });
});
