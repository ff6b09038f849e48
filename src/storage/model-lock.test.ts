/** One contract: Web Locks in a browser (model-lock.browser.test.ts), locks of the process in Node. */
import { expect, test } from 'vitest';
import { withModelAlone, withModelFiles, withModelLock } from './model-lock.ts';

let models = 0;
const newModel = () => `lock-test-${Date.now()}-${models++}`;

/** Something that goes on until it is told to end. */
function task(): { run: () => Promise<void>; running: Promise<void>; end: () => void } {
  let begin = () => {};
  let end = () => {};
  const running = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const run = () => {
    begin();
    return ended;
  };
  return { run, running, end };
}

test('one writer: a second one is told so, or waits for its turn', async () => {
  const model = newModel();
  const first = task();
  const writing = withModelLock(model, {}, first.run);
  await first.running;
  await expect(withModelLock(model, {}, async () => 'second')).rejects.toMatchObject({
    code: 'model-busy',
    nextStep: expect.any(String),
  });
  expect(await withModelLock(newModel(), {}, async () => 'another model')).toBe('another model');
  let waited = false;
  const waiting = withModelLock(model, { wait: true }, async () => {
    waited = true;
    return 'in turn';
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  expect(waited).toBe(false);
  first.end();
  await writing;
  expect(await waiting).toBe('in turn');
});

test('who waits can be told to stop, and a failure releases the lock', async () => {
  const model = newModel();
  const first = task();
  const writing = withModelLock(model, {}, async () => {
    await first.run();
    throw new Error('failed');
  });
  await first.running;
  const controller = new AbortController();
  const reason = new Error('changed my mind');
  const waiting = withModelLock(model, { wait: true, signal: controller.signal }, async () => {
    throw new Error('should not run');
  });
  controller.abort(reason);
  first.end();
  await expect(waiting).rejects.toBe(reason);
  await expect(writing).rejects.toThrow('failed');
  expect(await withModelLock(model, {}, async () => 'free')).toBe('free');
});

test('any number of readers, beside a writer; nobody deletes meanwhile', async () => {
  const model = newModel();
  const tasks = [task(), task(), task()] as const;
  const running = [
    withModelFiles(model, undefined, tasks[0].run),
    withModelFiles(model, undefined, tasks[1].run),
    withModelLock(model, {}, tasks[2].run),
  ];
  await Promise.all(tasks.map((each) => each.running));
  for (const each of tasks) {
    await expect(withModelAlone(model, async () => 'deleted')).rejects.toMatchObject({ code: 'model-busy' });
    each.end();
    await running[tasks.indexOf(each)];
  }
  expect(await withModelAlone(model, async () => 'deleted')).toBe('deleted');
});
