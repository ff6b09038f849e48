import { expect, test } from 'vitest';
import { RequestQueue } from './request-queue.ts';

test('callers enter in order of arrival, and one that gives up leaves no hole', async () => {
  const queue = new RequestQueue();
  const order: string[] = [];
  const first = await queue.acquire();
  const controller = new AbortController();
  const second = queue.acquire().then((release) => {
    order.push('second');
    return release;
  });
  const gaveUp = queue.acquire(controller.signal);
  const third = queue.acquire().then((release) => {
    order.push('third');
    return release;
  });
  controller.abort(new Error('gave up'));
  await expect(gaveUp).rejects.toThrow('gave up');
  first();
  first(); // A second release must not let two in.
  const releaseSecond = await second;
  expect(order).toEqual(['second']);
  releaseSecond();
  (await third)();
  expect(order).toEqual(['second', 'third']);
  (await queue.acquire())();
});

test('a caller that is aborted already does not enter', async () => {
  await expect(new RequestQueue().acquire(AbortSignal.abort(new Error('no')))).rejects.toThrow('no');
});
