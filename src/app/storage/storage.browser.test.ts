import { afterEach, describe, expect, test, vi } from 'vitest';
import { page, userEvent } from 'vitest/browser';
import type { ModelManager } from '../../engine/api.ts';
import { createFakeManager, type FakeManagerOptions, fakeStorageFromUrl } from '../../engine/fake-manager.ts';
import type { CatalogueModel } from '../../models/catalogue.ts';
import '../../ui/define.ts';
import { definePart } from '../../ui/define-part.ts';
import { TramontaneStorage } from './storage.ts';

definePart('tramontane-storage', TramontaneStorage);

afterEach(() => {
  document.body.replaceChildren();
});

async function mount(
  options: Partial<FakeManagerOptions> = {},
  storage = 'used=16.6&free=100',
): Promise<{ element: TramontaneStorage; manager: ModelManager }> {
  const manager = createFakeManager({ verifyMs: 20, ...options });
  const element = document.createElement('tramontane-storage');
  element.storage = fakeStorageFromUrl(new URLSearchParams(storage));
  element.manager = manager;
  document.body.append(element);
  await element.updateComplete;
  return { element, manager };
}

const announced = (element: TramontaneStorage) =>
  element.shadowRoot?.querySelector('dialog ~ [role=status]')?.textContent;
const button = (name: string | RegExp) => page.getByRole('button', { name });
const MISTRAL = 'Mistral Small 3.2 24B Instruct 2506';

test('an empty store leads to what can fill it', async () => {
  await mount();
  await expect.element(page.getByRole('heading', { name: 'No model is stored yet' })).toBeVisible();
  await expect
    .element(page.getByRole('link', { name: 'Import a model' }))
    .toHaveAttribute('href', expect.stringMatching(/^\.\/import\.html/));
});

test('lists models with what they are, where from and how large, the largest first', async () => {
  await mount({ models: 'some' });
  await expect.element(page.getByRole('heading', { name: '3 models' })).toBeVisible();
  const names = page.getByRole('heading', { level: 3 }).elements();
  expect(names.map(({ textContent }) => textContent)).toEqual([
    MISTRAL,
    'Ministral 3 3B',
    'SmolLM2 135M Instruct',
  ]);
  await expect
    .element(page.getByText('Q4_K_M · 24B parameters · 8,192 tokens of context · apache-2.0'))
    .toBeVisible();
  await expect.element(page.getByText(/^q4f16_1 · prebuilt library, needs shader-f16 · /)).toBeVisible();
  await expect
    .element(page.getByText(/^From Mistral-Small.*\.gguf, huggingface\.co · stored .*2026/))
    .toBeVisible();
  await expect.element(page.getByText('14.3 GB')).toBeVisible();
  await expect
    .element(page.getByRole('link', { name: `Chat with ${MISTRAL}` }))
    .toHaveAttribute('href', expect.stringMatching(/model=mistral-small-3\.2-24b-instruct-2506-q4_k_m$/));
});

test('tells how much room there is, and asks the browser to keep everything', async () => {
  const { element } = await mount({ models: 'some' });
  await expect
    .element(page.getByRole('meter', { name: 'Storage in use' }))
    .toHaveAttribute('aria-valuetext', '16.6 GB of 117 GB');
  await expect.element(page.getByText('100 GB')).toBeVisible();
  await button('Ask it to keep everything').click();
  await expect.element(page.getByText('The browser keeps all this until you delete it.')).toBeVisible();
  await expect.poll(() => announced(element)).toBe('The browser keeps what is stored.');
});

test('a browser that does not agree is no dead end', async () => {
  await mount({ models: 'some' }, 'refuse-persistence');
  await button('Ask it to keep everything').click();
  await expect.element(page.getByText(/did not agree/).first()).toBeVisible();
});

test('a browser that fails to be asked has not agreed', async () => {
  const { element } = await mount({ models: 'some' });
  element.storage.requestPersistence = () => Promise.reject(new TypeError('No.'));
  await button('Ask it to keep everything').click();
  await expect.element(page.getByText(/did not agree/).first()).toBeVisible();
});

describe('verifying', () => {
  test('reads everything again and says that it is whole', async () => {
    const { element, manager } = await mount({ models: 'some' });
    const verifyModel = manager.verifyModel.bind(manager);
    let goOn = () => {};
    const goesOn = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    manager.verifyModel = async (id, options) => {
      const half = { bytes: 7e9, totalBytes: 14.3e9, bytesPerSecond: 1e9, etaMs: 7300 };
      options?.onProgress?.({ phase: 'read', ...half });
      await goesOn;
      return verifyModel(id, options);
    };
    await button(`Verify ${MISTRAL}`).click();
    await expect
      .element(page.getByRole('progressbar', { name: 'Reading every byte again' }))
      .toHaveAttribute('aria-valuetext', expect.stringMatching(/of 14\.3 GB/));
    await expect.element(button(`Delete ${MISTRAL}`)).toBeDisabled();
    goOn();
    await expect.element(page.getByText('Whole.', { exact: true })).toBeVisible();
    await expect.poll(() => announced(element)).toBe(`${MISTRAL} is whole.`);
  });

  test('can be cancelled', async () => {
    await mount({ models: 'some', verifyMs: 60_000 });
    await button(`Verify ${MISTRAL}`).click();
    await button('Cancel').click();
    await expect.element(button(`Verify ${MISTRAL}`)).toBeEnabled();
    expect(page.getByRole('progressbar').elements()).toHaveLength(0);
  });

  test('names damaged files, which are gone, and leads to where only they are read again', async () => {
    const { element } = await mount({ models: 'some', damaged: ['params_shard_17.bin'] });
    await button(`Verify ${MISTRAL}`).click();
    await expect
      .element(page.getByRole('alert'))
      .toHaveTextContent(/1 of 113 files are damaged.*params_shard_17\.bin.*only these are read again/);
    await expect.element(page.getByRole('alert')).not.toHaveTextContent(/delete/i);
    await expect.element(page.getByRole('heading', { name: '2 models' })).toBeVisible();
    await expect
      .element(page.getByRole('link', { name: 'Go on' }))
      .toHaveAttribute('href', expect.stringMatching(/resume=mistral-small/));
    await expect.poll(() => element.shadowRoot?.activeElement?.textContent).toBe('Interrupted imports');
  });

  test('where another tab uses the model, says so', async () => {
    const { manager } = await mount({ models: 'some' });
    manager.verifyModel = async () => ({ files: 113, byteLength: 1, damaged: ['params_shard_17.bin'] });
    await button(`Verify ${MISTRAL}`).click();
    await expect
      .element(page.getByRole('alert'))
      .toHaveTextContent(/params_shard_17\.bin.*Another tab uses the model/);
    await expect.element(page.getByRole('heading', { name: '3 models' })).toBeVisible();
  });

  test('that fails says why', async () => {
    await mount({ models: 'some', fail: 'storage-failed', failAt: 'verify' });
    await button(`Verify ${MISTRAL}`).click();
    await expect.element(page.getByRole('alert')).toHaveTextContent(/storage-failed/);
  });
});

test('exporting hands a file to the browser', async () => {
  const { element } = await mount({ models: 'some' });
  const saved: string[] = [];
  const click = vi.spyOn(HTMLAnchorElement.prototype, 'click').mockImplementation(function (
    this: HTMLAnchorElement,
  ) {
    saved.push(`${this.protocol} ${this.download}`);
  });
  try {
    await button('Export Ministral 3 3B').click();
    await expect.poll(() => saved).toEqual(['blob: ministral-3-3b.tar']);
    await expect.poll(() => announced(element)).toBe('Ministral 3 3B is being saved as ministral-3-3b.tar.');
  } finally {
    click.mockRestore();
  }
});

describe('deleting', () => {
  test('asks first, and Escape keeps the model', async () => {
    const { element, manager } = await mount({ models: 'some' });
    const focused = () => element.shadowRoot?.activeElement;
    await button(`Delete ${MISTRAL}`).click();
    await expect.element(page.getByRole('dialog', { name: `Delete ${MISTRAL}?` })).toBeVisible();
    await expect.poll(() => focused()?.textContent).toBe('Keep it');
    await userEvent.keyboard('{Escape}');
    await expect.poll(() => focused()?.ariaLabel).toBe(`Delete ${MISTRAL}`);
    expect(await manager.listStoredModels()).toHaveLength(3);
  });

  test('frees the room, and the focus goes to the list', async () => {
    const { element, manager } = await mount({ models: 'some' });
    await button(`Delete ${MISTRAL}`).click();
    await expect.element(page.getByText(/This frees 14\.3 GB/)).toBeVisible();
    await button('Delete').last().click();
    await expect.element(page.getByRole('heading', { name: '2 models' })).toBeVisible();
    expect(await manager.listStoredModels()).toHaveLength(2);
    await expect.poll(() => announced(element)).toBe(`${MISTRAL} was deleted.`);
    await expect.poll(() => element.shadowRoot?.activeElement?.textContent).toBe('2 models');
  });

  test('that fails says why, and the model stays', async () => {
    await mount({ models: 'some', fail: 'model-busy', failAt: 'delete' });
    await button(`Delete ${MISTRAL}`).click();
    await button('Delete').last().click();
    await expect.element(page.getByRole('alert')).toHaveTextContent(/Another tab is writing/);
    await expect.element(page.getByRole('heading', { name: '3 models' })).toBeVisible();
  });
});

test('an interrupted import can be gone on with, or discarded', async () => {
  const { manager } = await mount({ pending: 'address' });
  await expect.element(page.getByText('7.15 of 14.3 GB')).toBeVisible();
  await expect
    .element(page.getByRole('link', { name: 'Go on' }))
    .toHaveAttribute('href', expect.stringMatching(/^\.\/import\.html\?.*resume=mistral-small/));
  await button(`Discard the import of ${MISTRAL}`).click();
  await button('Discard').last().click();
  await expect.element(page.getByRole('heading', { name: 'No model is stored yet' })).toBeVisible();
  expect(await manager.listPendingModels()).toEqual([]);
});

test('discarding an interrupted import leaves the whole model of the same name', async () => {
  const { manager } = await mount({ models: 'some', pending: 'address' });
  await button(`Discard the import of ${MISTRAL}`).click();
  await button('Discard').last().click();
  await expect.poll(() => manager.listPendingModels()).toEqual([]);
  await expect.element(page.getByRole('heading', { name: '3 models' })).toBeVisible();
  expect(await manager.listStoredModels()).toHaveLength(3);
});

test('an interrupted import that cannot be discarded says why', async () => {
  await mount({ pending: 'address', fail: 'model-busy', failAt: 'delete' });
  await button(`Discard the import of ${MISTRAL}`).click();
  await button('Discard').last().click();
  await expect.element(page.getByRole('alert')).toHaveTextContent(/Another tab is writing/);
});

test('an interrupted download of a model of this site goes on in the chat', async () => {
  const { element } = await mount({ pending: 'site' });
  element.catalogue = [
    {
      id: 'smollm2-135m-instruct',
      source: { kind: 'site', url: 'smollm2-135m-instruct/' },
    } as CatalogueModel,
  ];
  await expect
    .element(page.getByRole('link', { name: 'Go on' }))
    .toHaveAttribute('href', expect.stringMatching(/^\.\/index\.html\?.*model=smollm2-135m-instruct$/));
});

test('a store that cannot be read says so, and can be tried again', async () => {
  await mount({ models: 'some', fail: 'storage-failed', failAt: 'list' });
  await expect.element(page.getByRole('alert')).toBeVisible();
  await button('Try again').click();
  await expect.element(page.getByRole('heading', { name: '3 models' })).toBeVisible();
});

test('every control is large enough for a finger, and nothing is wider than the window', async () => {
  const { element } = await mount({ models: 'some', pending: 'file' });
  await expect.element(page.getByRole('heading', { name: '3 models' })).toBeVisible();
  for (const control of element.shadowRoot!.querySelectorAll<HTMLElement>('button, a.button')) {
    expect(control.offsetHeight, control.textContent ?? '').toBeGreaterThanOrEqual(44);
  }
  expect(element.scrollWidth).toBeLessThanOrEqual(element.clientWidth);
});
