import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { page, userEvent } from 'vitest/browser';
import { TramontaneError } from '../../base/errors.ts';
import type { ImportSource, ModelManager } from '../../engine/api.ts';
import { createFakeManager, type FakeManagerOptions, fakeStorageFromUrl } from '../../engine/fake-manager.ts';
import { type CatalogueModel, parseCatalogue } from '../../models/catalogue.ts';
import '../../ui/define.ts';
import { definePart } from '../../ui/define-part.ts';
import { TramontaneImport } from './import.ts';

definePart('tramontane-import', TramontaneImport);

const fast: Partial<FakeManagerOptions> = { inspectMs: 5, importMs: 20 };
let catalogue: CatalogueModel[];

beforeAll(async () => {
  const response = await fetch(new URL('../../../models/models.json', import.meta.url));
  catalogue = parseCatalogue(await response.json(), 'https://example.org/models/models.json');
});

afterEach(() => {
  document.body.replaceChildren();
});

interface Mounted {
  element: TramontaneImport;
  manager: ModelManager;
  sources: ImportSource[];
}

async function mount(
  options: Partial<FakeManagerOptions> = {},
  setUp: (element: TramontaneImport) => void = () => {},
  storage = '',
): Promise<Mounted> {
  const manager = createFakeManager({ ...fast, ...options });
  const sources: ImportSource[] = [];
  const inspectSource = manager.inspectSource.bind(manager);
  manager.inspectSource = (source, call) => {
    sources.push(source);
    return inspectSource(source, call);
  };
  const element = document.createElement('tramontane-import');
  element.storage = fakeStorageFromUrl(new URLSearchParams(storage));
  element.catalogue = catalogue;
  element.manager = manager;
  setUp(element);
  document.body.append(element);
  await element.updateComplete;
  return { element, manager, sources };
}

const gguf = (name = 'Mistral-Small-Q4_K_M.gguf') => new File(['GGUF'], name);
const shown = (element: TramontaneImport) => element.shadowRoot!;
const announced = (element: TramontaneImport) =>
  shown(element).querySelector('.page ~ [role=status]')?.textContent;
const button = (name: string | RegExp) => page.getByRole('button', { name });
const heading = (name: string | RegExp) => page.getByRole('heading', { name });

async function pick(element: TramontaneImport, ...files: File[]): Promise<void> {
  const input = shown(element).querySelector<HTMLInputElement>('#files')!;
  await userEvent.upload(input, files.length === 0 ? [gguf()] : files);
}

async function look(address: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Or an address' }).fill(address);
  await button('Look at it').click();
}

async function preview(element: TramontaneImport): Promise<void> {
  await pick(element);
  await expect.element(heading('Mistral Small 3.2 24B Instruct 2506')).toBeVisible();
}

function drag(type: string, files: readonly File[]): DragEvent {
  const dataTransfer = new DataTransfer();
  for (const file of files) dataTransfer.items.add(file);
  const event = new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true });
  dispatchEvent(event);
  return event;
}

describe('choosing', () => {
  test('says whom the page may contact, and offers the catalogue with what each model needs', async () => {
    await mount();
    await expect.element(page.getByText(/may contact the host that you name/)).toBeVisible();
    const offers = page.getByRole('listitem').filter({ has: page.getByRole('heading', { level: 3 }) });
    expect(offers.elements()).toHaveLength(catalogue.length);
    await expect.element(page.getByText(/14\.8 GiB of GPU memory/).first()).toBeVisible();
    await expect
      .element(button('Choose Mistral Small 3.2 24B, IQ4_XS, from huggingface.co/bartowski'))
      .toBeVisible();
  });

  test('a file, several, or none', async () => {
    const { element, sources } = await mount({ inspectMs: 60_000 });
    await pick(element, gguf('model-00001-of-00002.gguf'), gguf('model-00002-of-00002.gguf'));
    await expect.element(heading('Looking at 2 files')).toBeVisible();
    await expect.poll(() => announced(element)).toBe('Looking at 2 files.');
    expect(sources[0]).toMatchObject({ kind: 'files', files: [{ size: 4 }, { size: 4 }] });
    await button('Cancel').click();
    await expect.element(heading('Drop a GGUF file here')).toBeVisible();
  });

  test('files dropped anywhere', async () => {
    const { sources } = await mount({ inspectMs: 60_000 });
    expect(drag('dragover', [gguf()]).defaultPrevented).toBe(true);
    await expect.element(page.getByText('Drop it to see what it is')).toBeVisible();
    expect(drag('drop', [gguf('dropped.gguf')]).defaultPrevented).toBe(true);
    await expect.element(heading('Looking at dropped.gguf')).toBeVisible();
    expect(page.getByText('Drop it to see what it is').elements()).toHaveLength(0);
    expect(sources[0]).toMatchObject({ kind: 'files', files: [{ name: 'dropped.gguf' }] });
  });

  /** As a browser gives a dropped folder: in portions, without the files' own paths. */
  function dropFolder(contents: Record<string, File | DOMException>): void {
    const entries = Object.entries(contents).map(([path, content]) => ({
      isDirectory: false,
      fullPath: path,
      file: (resolve: (file: File) => void, reject: (error: DOMException) => void) =>
        content instanceof File ? resolve(content) : reject(content),
    }));
    const portions = [entries.slice(0, 1), entries.slice(1), []];
    const folder = {
      isDirectory: true,
      createReader: () => ({
        readEntries: (resolve: (found: unknown[]) => void) => resolve(portions.shift()!),
      }),
    };
    const item = { kind: 'file', webkitGetAsEntry: () => folder, getAsFile: () => null };
    const event = new Event('drop', { cancelable: true });
    Object.defineProperty(event, 'dataTransfer', { value: { types: ['Files'], items: [item] } });
    dispatchEvent(event);
  }

  test('a dropped folder, with where its files lie', async () => {
    const { sources } = await mount({ inspectMs: 60_000 });
    dropFolder({ '/tiny/config.json': new File(['{}'], 'config.json'), '/tiny/old/config.json': gguf('x') });
    await expect.element(heading('Looking at 2 files')).toBeVisible();
    expect(sources[0]).toMatchObject({ paths: ['tiny/config.json', 'tiny/old/config.json'] });
  });

  test('a dropped folder that cannot be read is refused', async () => {
    const { sources } = await mount();
    dropFolder({ '/tiny/config.json': new DOMException('It is gone.', 'NotFoundError') });
    await expect
      .element(page.getByRole('alert'))
      .toHaveTextContent(/What was dropped cannot be read: It is gone\..*drop it again/);
    expect(sources).toEqual([]);
  });

  test('a drag of text is left alone', async () => {
    const { element } = await mount();
    const dataTransfer = new DataTransfer();
    dataTransfer.setData('text/plain', 'words');
    const event = new DragEvent('dragover', { dataTransfer, cancelable: true });
    dispatchEvent(event);
    expect(event.defaultPrevented).toBe(false);
    await element.updateComplete;
    expect(page.getByText('Drop it to see what it is').elements()).toHaveLength(0);
  });

  test('an address, as typed', async () => {
    const { sources } = await mount();
    await expect.element(button('Look at it')).toBeDisabled();
    await page.getByRole('textbox', { name: 'Or an address' }).fill('  hf:owner/repo/model.gguf ');
    await userEvent.keyboard('{Enter}');
    await expect.element(heading(/Instruct 2506/)).toBeVisible();
    expect(sources).toEqual([{ kind: 'address', address: 'hf:owner/repo/model.gguf' }]);
  });

  test('a repository: its builds, the usual one first in mind, and those that cannot run set apart', async () => {
    const { element, sources } = await mount();
    await look('hf:owner/repo');
    await expect.element(heading(/^Builds in bartowski\/mistralai_Mistral-Small/)).toBeVisible();
    expect(shown(element).activeElement?.textContent).toMatch(/^Builds in/);
    expect(announced(element)).toMatch(/ has 12 builds\. Choose one\.$/);
    const rows = page.getByRole('list', { name: 'Builds' }).getByRole('listitem');
    expect(rows.elements().map((row) => row.textContent!.trim().split(',')[0])).toEqual([
      ...['IQ4_XS', 'Q4_0', 'Q4_K_M', 'UD-Q4_K_XL', 'Q5_K_M', 'Q6_K', 'Q8_0', 'BF16'],
    ]);
    const usual = rows.filter({ hasText: 'Q4_K_M' });
    await expect
      .element(usual)
      .toHaveTextContent(/14\.3 GB Recommended .*Q4_K_M\.gguf Needs about 13\.6 GiB/);
    await expect.element(rows.filter({ hasText: 'UD-Q4_K_XL' })).toHaveTextContent(/its header will tell/);
    await expect
      .element(rows.filter({ hasText: 'BF16' }))
      .toHaveTextContent(/00001-of-00002\.gguf and 1 more/);
    const unable = page.getByText('Q3_K_M, 11.5 GB');
    await expect.element(unable).not.toBeVisible();
    await page.getByText('4 more in formats that cannot run here').click();
    await expect.element(unable).toBeVisible();
    expect(button(/Choose Q3_K_M/).elements()).toHaveLength(0);
    expect(sources).toEqual([]);
  });

  test('a build of a repository, by keyboard, and back to the others', async () => {
    const { element, sources } = await mount();
    await look('hf:owner/repo');
    await expect.element(button('Choose Q4_K_M, 14.3 GB')).toBeVisible();
    button('Choose Q4_K_M, 14.3 GB').element().focus();
    await userEvent.keyboard('{Enter}');
    await expect.element(button('Import')).toBeEnabled();
    expect(sources).toEqual([
      { kind: 'address', address: expect.stringMatching(/^hf:.*Q4_K_M\.gguf@main$/) },
    ]);
    await expect
      .element(page.getByText(/as huggingface\.co lists it/))
      .toHaveTextContent(/: (1f1fe1c8b2e0a4f3){4}$/);
    await button('Choose another build').click();
    await expect.element(heading(/^Builds in/)).toBeVisible();
    expect(shown(element).activeElement?.textContent).toMatch(/^Builds in/);
    await button('Choose another').click();
    await expect.element(heading('Drop a GGUF file here')).toBeVisible();
  });

  test('the only build of a repository, or the one whose quantization is given, at once', async () => {
    const one = await mount({ builds: 'one' });
    await look('hf:owner/repo');
    await expect.element(button('Import')).toBeEnabled();
    expect(one.sources).toHaveLength(1);
    one.element.remove();
    const { sources } = await mount();
    await look('hf:owner/repo:Q6_K');
    await expect.element(button('Import')).toBeEnabled();
    expect(sources).toMatchObject([{ address: expect.stringContaining('Q6_K.gguf') }]);
  });

  test('a quantization that a repository does not have: those that it has', async () => {
    await mount();
    await look('hf:owner/repo:Q9_K');
    await expect.element(page.getByText('There is no build Q9_K.')).toBeVisible();
    await expect.element(button('Choose Q8_0, 25.1 GB')).toBeVisible();
  });

  test('a build that cannot be used: why, among the others', async () => {
    const { element } = await mount({ fail: 'format-unsupported', failAt: 'inspect' });
    await look('hf:owner/repo');
    await button('Choose UD-Q4_K_XL, 14.5 GB').click();
    await expect.element(page.getByRole('alert')).toHaveTextContent(/stored as IQ2_XXS/);
    expect(announced(element)).toMatch(/^That did not work/);
    await expect.element(button('Choose Q4_0, 13.4 GB')).toBeVisible();
  });

  test('a repository that cannot be listed, and a look at one that is cancelled', async () => {
    const { element } = await mount({ fail: 'download-failed', failAt: 'list-builds' });
    await look('hf:owner/repo');
    await expect.element(page.getByRole('alert')).toHaveTextContent(/stopped answering/);
    element.remove();
    await mount({ inspectMs: 60_000 });
    await look('hf:owner/repo');
    await expect.element(heading('Looking at hf:owner/repo')).toBeVisible();
    await button('Cancel').click();
    await expect.element(heading('Drop a GGUF file here')).toBeVisible();
  });

  test('builds that do not fit are said not to, and none of them is recommended', async () => {
    await mount({}, () => {}, 'free=13');
    await look('hf:owner/repo');
    const row = (name: string) =>
      page.getByRole('listitem').filter({ has: button(new RegExp(`^Choose ${name},`)) });
    await expect.element(row('Q4_K_M')).toHaveTextContent(/takes 14\.3 GB of storage/);
    await expect.element(row('IQ4_XS')).toHaveTextContent(/Recommended/);
    expect(page.getByText('Recommended').elements()).toHaveLength(1);
  });

  test('an entry of the catalogue: its address, and the library of a prebuilt one', async () => {
    const { sources } = await mount();
    await button(/^Choose Mistral Small 3.2 24B, Q4_K_M, from huggingface.co\/unsloth/).click();
    await button('Choose another').click();
    await button(/^Choose Ministral 3 3B/).click();
    await expect.element(button('Import')).toBeVisible();
    expect(sources[0]).toMatchObject({ address: expect.stringMatching(/^hf:unsloth\/Mistral-Small-3.2/) });
    expect(sources[1]).toMatchObject({
      address: expect.stringMatching(/^hf:mlc-ai\/Ministral/),
      libraryUrl: expect.stringMatching(/\.wasm$/),
      temperature: 0.05,
    });
  });

  test('what cannot be used is refused with its reason, and the choice stays', async () => {
    const { element } = await mount({ fail: 'format-unsupported', failAt: 'inspect' });
    await pick(element);
    await expect.element(page.getByRole('alert')).toHaveTextContent(/stored as IQ2_XXS.*Choose a build/);
    await expect.element(heading('Drop a GGUF file here')).toBeVisible();
    await expect.poll(() => announced(element)).toMatch(/^That did not work.*IQ2_XXS/);
  });

  test('an unknown chat template is shown', async () => {
    const { element } = await mount({ fail: 'template-unsupported', failAt: 'inspect' });
    await pick(element);
    const text = page.getByRole('region', { name: 'The chat template of this file' });
    await expect.element(text).toHaveTextContent(/line 24 of a template that nobody knows/);
    const block = shown(element).querySelector('pre')!;
    expect(block.scrollHeight).toBeGreaterThan(block.clientHeight);
    expect(block.tabIndex).toBe(0);
  });

  test('an interrupted import of an address goes on with it', async () => {
    const { sources } = await mount({ pending: 'address' });
    await expect
      .element(page.getByRole('region', { name: 'Interrupted import' }))
      .toHaveTextContent(/7\.15 of 14\.3 GB from huggingface\.co/);
    await button('Go on').click();
    await expect.element(page.getByText('Interrupted before.')).toBeVisible();
    await expect.element(button('Go on with the import')).toBeEnabled();
    expect(sources[0]).toMatchObject({ address: expect.stringMatching(/^hf:lmstudio-community\//) });
  });

  test('and one that the storage page names goes on by itself', async () => {
    await mount({ pending: 'address' }, (element) => {
      element.resume = 'mistral-small-3.2-24b-instruct-2506-q4_k_m';
    });
    await expect.element(button('Go on with the import')).toBeEnabled();
  });

  test('an interrupted import of a file asks for the file', async () => {
    await mount({ pending: 'file' });
    await expect.element(button('Choose the file again')).toBeVisible();
    expect(button('Go on').elements()).toHaveLength(0);
  });

  test('an interrupted download of a model of this site goes on in the chat, however the page was reached', async () => {
    const { sources } = await mount({ pending: 'site' }, (element) => {
      const [first] = catalogue as [CatalogueModel];
      const source = { kind: 'site', url: 'https://example.org/models/smollm2-135m-instruct/' } as const;
      element.catalogue = [...catalogue, { ...first, id: 'smollm2-135m-instruct', source }];
      element.resume = 'smollm2-135m-instruct';
    });
    await expect
      .element(page.getByRole('link', { name: 'Go on in the chat' }))
      .toHaveAttribute('href', expect.stringMatching(/^\.\/index\.html\?.*model=smollm2-135m-instruct$/));
    expect(sources).toEqual([]);
  });

  test('what is stored already can be talked to', async () => {
    await mount({ models: 'some' });
    const links = page.getByRole('link', { name: 'Chat with it' });
    await expect
      .element(links.first())
      .toHaveAttribute(
        'href',
        expect.stringMatching(/^\.\/index\.html\?.*model=mistral-small-3\.2-24b-instruct-2506-q4_k_m$/),
      );
  });

  test('without WebGPU it says what to do', async () => {
    await mount({ adapter: 'none' });
    await expect.element(heading('This browser cannot reach the GPU')).toBeVisible();
  });

  test('on a software GPU nothing is tested, and Mistral Small is far too slow', async () => {
    await mount({ adapter: 'software' });
    await expect.element(page.getByText(/far too slow/).first()).toBeVisible();
    expect(button(/^Test/).elements()).toHaveLength(0);
  });
});

describe('the preview', () => {
  const slider = () => page.getByRole('slider', { name: 'Context' });

  test('tells what it is, and gets the focus', async () => {
    const { element } = await mount();
    await preview(element);
    for (const fact of [
      '14.3 GB',
      'Q4_K_M',
      'Q4_K 81%, Q6_K 19%, F32',
      'mistral-v11',
      '0.15',
      'apache-2.0',
    ]) {
      await expect.element(page.getByText(fact, { exact: true })).toBeVisible();
    }
    await expect
      .poll(() => shown(element).activeElement?.textContent)
      .toBe('Mistral Small 3.2 24B Instruct 2506');
    await expect.poll(() => announced(element)).toBe('This is Mistral Small 3.2 24B Instruct 2506.');
  });

  test('the slider tells what context costs, live', async () => {
    const { element } = await mount();
    await preview(element);
    await expect.element(page.getByText('1.25 GiB, 160 KiB per token')).toBeVisible();
    await expect
      .element(slider())
      .toHaveAttribute('aria-valuetext', '8,192 tokens, 14.8 GiB of memory in all');
    slider().element().focus();
    await userEvent.keyboard('{ArrowRight}{ArrowRight}');
    await expect
      .element(slider())
      .toHaveAttribute('aria-valuetext', '16,384 tokens, 16.1 GiB of memory in all');
    await expect.element(page.getByText('2.5 GiB, 160 KiB per token')).toBeVisible();
    await expect.element(page.getByText(/needs about 16\.1 GiB/)).toBeVisible();
    await userEvent.keyboard('{End}');
    await expect.element(page.getByText('20 GiB, 160 KiB per token')).toBeVisible();
    await expect
      .element(slider())
      .toHaveAttribute('aria-valuetext', expect.stringMatching(/^131,072 tokens/));
  });

  test('a test of the GPU settles whether it fits', async () => {
    const { element } = await mount({ grantedBytes: 22 * 2 ** 30 });
    await preview(element);
    await button('Test for 14.8 GiB').click();
    await expect.element(page.getByText(/fits the memory of this device/)).toBeVisible();
    await expect.poll(() => announced(element)).toBe('GPU memory: 14.8 GiB granted, perhaps more.');
  });

  test('where it does not fit, a shorter context that does is a button away', async () => {
    const { element } = await mount({ grantedBytes: 14.5 * 2 ** 30 });
    await preview(element);
    await button('Test for 14.8 GiB').click();
    await expect.element(page.getByText(/and the GPU granted 14\.5 GiB/)).toBeVisible();
    await button('Use 4,096 tokens, which fit').click();
    await expect.element(slider()).toHaveAttribute('aria-valuetext', expect.stringMatching(/^4,096 tokens/));
    await expect.element(page.getByText(/fits the memory of this device/)).toBeVisible();
    await expect.element(button('Import')).toBeEnabled();
  });

  test('where nothing of it fits, a smaller model is', async () => {
    const { element } = await mount({ grantedBytes: 8 * 2 ** 30 });
    await preview(element);
    await button('Test for 14.8 GiB').click();
    await button('Mistral 7B v0.3').click();
    await expect.element(heading('Drop a GGUF file here')).toBeVisible();
    expect(shown(element).querySelector('[data-wanted] h3')?.textContent).toBe('Mistral 7B v0.3');
  });

  test('without room to store it, it cannot be imported', async () => {
    const { element } = await mount({}, () => {}, 'free=5');
    await preview(element);
    await expect
      .element(page.getByText(/takes 14\.3 GB of storage, and the browser has 5 GB left/))
      .toBeVisible();
    await expect.element(button('Import')).toBeDisabled();
  });

  test('says which stored model it would replace', async () => {
    const { element } = await mount({ models: 'some' });
    await preview(element);
    await expect.element(page.getByText('A model of this name is stored.')).toBeVisible();
  });
});

describe('the import', () => {
  const bar = () => page.getByRole('progressbar', { name: 'Importing' });

  test('shows bytes, speed and time left, warns before the page is left, and can be cancelled and gone on with', async () => {
    // A minute and more is not told in seconds.
    const { element, manager } = await mount({ importMs: 58_000 });
    await preview(element);
    const leave = () => {
      const event = new Event('beforeunload', { cancelable: true });
      dispatchEvent(event);
      return event.defaultPrevented;
    };
    expect(leave()).toBe(false);
    const sentinel = { released: false, release: vi.fn(async () => {}) };
    const request = vi.fn(async () => sentinel);
    const wakeLock = vi.spyOn(navigator, 'wakeLock', 'get').mockReturnValue({ request } as never);
    await button('Import').click();
    await expect
      .element(bar())
      .toHaveAttribute('aria-valuetext', expect.stringMatching(/% ?, .* of 14\.3 GB · .*\/s · \d+ s left/));
    await expect.poll(() => document.title).toMatch(/^\d+% · Import a model/);
    expect(leave()).toBe(true);
    expect(drag('dragover', [gguf()]).defaultPrevented).toBe(true);
    await element.updateComplete;
    expect(page.getByText('Drop it to see what it is').elements()).toHaveLength(0);
    expect(request).toHaveBeenCalledExactlyOnceWith('screen');
    expect(sentinel.release).not.toHaveBeenCalled();
    await button('Cancel').click();
    await expect.element(button('Go on with the import')).toBeEnabled();
    expect(sentinel.release).toHaveBeenCalledOnce();
    wakeLock.mockRestore();
    await expect.element(page.getByText('Interrupted before.')).toBeVisible();
    expect(leave()).toBe(false);
    expect(await manager.listPendingModels()).toHaveLength(1);
    await expect.poll(() => document.title).toBe('Import a model: Tramontane');
  });

  test('asks the browser to keep what it stores, with the context that was chosen, and leads to the chat', async () => {
    const { element, manager } = await mount();
    await preview(element);
    page.getByRole('slider', { name: 'Context' }).element().focus();
    await userEvent.keyboard('{ArrowLeft}');
    await button('Import').click();
    await expect.element(heading(/is on this device/)).toBeVisible();
    await expect
      .poll(() => announced(element))
      .toBe('Mistral Small 3.2 24B Instruct 2506 is on this device.');
    expect(await element.storage.isPersisted()).toBe(true);
    expect(await manager.listStoredModels()).toMatchObject([{ contextLength: 6144 }]);
    await expect
      .element(page.getByRole('link', { name: 'Chat with it' }))
      .toHaveAttribute('href', expect.stringMatching(/model=mistral-small/));
    await button('Import another').click();
    await expect.element(heading('Drop a GGUF file here')).toBeVisible();
  });

  test('that fails says why, keeps what it has, and can be tried again', async () => {
    const { element } = await mount({ fail: 'download-failed', failAt: 'import' });
    await preview(element);
    await button('Import').click();
    await expect
      .element(page.getByRole('alert'))
      .toHaveTextContent(/stopped answering.*goes on where it ended/);
    await expect.poll(() => announced(element)).toMatch(/^The import failed\./);
    await expect.element(page.getByText('Interrupted before.')).toBeVisible();
    await button('Try again').click();
    await expect.element(heading(/is on this device/)).toBeVisible();
  });
});

describe('an import that does not go well', () => {
  const crash = new TramontaneError('worker-crashed', 'The model manager stopped.', { nextStep: 'Reload.' });

  test('says so where the worker has ended, and what is stored cannot be read any more', async () => {
    const { element, manager } = await mount();
    await preview(element);
    manager.importModel = () => Promise.reject(crash);
    manager.listStoredModels = () => Promise.reject(crash);
    await button('Import').click();
    await expect.element(page.getByRole('alert')).toHaveTextContent(/The model manager stopped\..*Reload/);
  });

  test('one that ends well is told of, though what is stored cannot be read', async () => {
    const { element, manager } = await mount();
    await preview(element);
    manager.listStoredModels = () => Promise.reject(crash);
    await button('Import').click();
    await expect.element(heading(/is on this device/)).toBeVisible();
  });

  test('can be cancelled while the browser asks whether to keep what is stored', async () => {
    const { element, manager } = await mount();
    element.storage.requestPersistence = () => new Promise(() => {});
    await preview(element);
    await button('Import').click();
    await button('Cancel').click();
    await expect.element(button('Import')).toBeEnabled();
    expect(await manager.listPendingModels()).toEqual([]);
  });

  test('does not fail where the browser fails to ask', async () => {
    const { element } = await mount();
    element.storage.requestPersistence = () => Promise.reject(new TypeError('No.'));
    await preview(element);
    await button('Import').click();
    await expect.element(heading(/is on this device/)).toBeVisible();
  });

  test('still gives up another import of the same name when it is tried again', async () => {
    const { element } = await mount({ pending: 'other', fail: 'model-busy', failAt: 'begin' });
    await preview(element);
    await expect.element(page.getByText('Another import of this name was interrupted.')).toBeVisible();
    await button('Import').click();
    await expect.element(page.getByRole('alert')).toHaveTextContent(/Another tab/);
    await expect.element(page.getByText('Another import of this name was interrupted.')).toBeVisible();
    await button('Try again').click();
    await expect.element(heading(/is on this device/)).toBeVisible();
  });

  test('gives up one that came in between, when it is tried again', async () => {
    const { element, manager } = await mount({ pending: 'other' });
    const inspectSource = manager.inspectSource.bind(manager);
    let looks = 0;
    manager.inspectSource = async (...input) => {
      const seen = await inspectSource(...input);
      return ++looks === 1 ? { ...seen, obstructs: null } : seen;
    };
    await preview(element);
    await button('Import').click();
    await expect.element(page.getByText('Another import of this name was interrupted.')).toBeVisible();
    await button('Try again').click();
    await expect.element(heading(/is on this device/)).toBeVisible();
  });
});

test('there is room where the import that is given up has it', async () => {
  const { element } = await mount({ pending: 'other' }, () => {}, 'used=7.2&free=10');
  await preview(element);
  await expect.element(page.getByText(/takes 14\.3 GB of storage, of 17\.1 GB/)).toBeVisible();
  await expect.element(button('Import')).toBeEnabled();
});

test('what is stored needs no room', async () => {
  await mount({ models: 'some' }, () => {}, 'free=5');
  const offer = page.getByRole('listitem').filter({ hasText: 'On this device' }).first();
  await expect.element(offer).toBeVisible();
  expect(offer.getByText(/GB of storage/).elements()).toHaveLength(0);
});

test('every control is large enough for a finger, and nothing is wider than the window', async () => {
  const { element } = await mount({ pending: 'address', models: 'some' });
  await expect.element(button('Go on')).toBeVisible();
  const check = () => {
    for (const control of shown(element).querySelectorAll<HTMLElement>('button, a.button, .input')) {
      expect(control.offsetHeight, control.textContent ?? '').toBeGreaterThanOrEqual(44);
    }
    expect(element.scrollWidth).toBeLessThanOrEqual(element.clientWidth);
  };
  check();
  await look('hf:owner/repo');
  await expect.element(button(/^Choose Q8_0/)).toBeVisible();
  check();
  await button('Choose another').click();
  await pick(element);
  await expect.element(button(/^(Import|Go on with the import)$/)).toBeVisible();
  check();
});
