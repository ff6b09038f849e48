/** The benchmark page: on a scripted engine (what a person does with it), and on the real one with tiny-mistral. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, type Locator, type Page, test } from 'playwright/test';
import { SITE } from '../../scripts/lib/site.ts';
import { type StaticServer, startStaticServer } from '../../scripts/lib/static-server.mjs';
import type { BenchReport } from '../../src/bench/report.ts';
import { findSchemaFaults } from '../tools/bench-tools.ts';
import { TINY_MODELS_JSON } from '../tools/site-models.ts';
import { ensureTinyMistral } from '../tools/tiny-mistral.ts';

const PATH = 'some/path/';
const run = (page: Page) => page.getByRole('button', { name: 'Run', exact: true });
const exportJson = (page: Page) => page.getByRole('button', { name: 'JSON', exact: true });

/** In their short form. */
async function choose(page: Page, suites: readonly string[]): Promise<void> {
  await page.getByRole('combobox', { name: 'Length' }).selectOption('short');
  for (const box of await page.locator('tramontane-bench input[name=suite]').all()) {
    const name = (await box.getAttribute('value')) ?? '';
    await box.setChecked(suites.includes(name));
  }
}

/** Starts a run and agrees to its length, if asked. @returns when `shown` is to be seen */
async function start(page: Page, shown: Locator): Promise<void> {
  await run(page).click();
  const agree = page.getByRole('button', { name: 'Start' });
  await expect(agree.or(shown)).toBeVisible();
  if (await agree.isVisible()) await agree.click();
  await expect(shown).toBeVisible({ timeout: 800_000 });
}

/** @returns when the report of a short run is there */
async function measure(page: Page, suites: readonly string[]): Promise<void> {
  await choose(page, suites);
  await start(page, exportJson(page));
}

async function download(page: Page, name: string): Promise<string> {
  const [file] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('button', { name, exact: true }).click(),
  ]);
  return readFile(await file.path(), 'utf8');
}

async function downloadReport(page: Page): Promise<BenchReport> {
  const report = JSON.parse(await download(page, 'JSON')) as BenchReport;
  expect(findSchemaFaults(report)).toEqual([]);
  return report;
}

test.describe('with a scripted engine', () => {
  let server: StaticServer;
  test.beforeAll(async () => {
    server = await startStaticServer({ mounts: { [`/${PATH}`]: SITE } });
  });
  test.afterAll(() => server.close());

  test('run, read, export, keep, compare, delete', async ({ page }) => {
    await page.goto(`${server.url}${PATH}bench.html?engine=fake&rate=2000`);
    await measure(page, ['standard', 'selfcheck']);
    await expect(page.getByRole('row', { name: /^pp64 / }).first()).toBeVisible();
    await expect(page.getByRole('img', { name: /^Samples of pp64/ })).toBeVisible();
    const report = await downloadReport(page);
    expect(report.status).toBe('complete');
    expect(report.labels).toContain('short');
    expect(await download(page, 'CSV')).toMatch(/^build_commit,.*\r\n/);

    await measure(page, ['standard']);
    const saved = page.getByRole('region', { name: 'Saved runs' });
    await expect(saved.getByRole('listitem')).toHaveCount(2);
    // Kept over a reload.
    await page.reload();
    await expect(saved.getByRole('listitem')).toHaveCount(2);
    for (const box of await saved.getByRole('checkbox').all()) await box.check();
    await expect(
      page.getByRole('region', { name: 'Side by side' }).getByRole('row', { name: /^tg16/ }),
    ).not.toHaveCount(0);
    const verdicts = page
      .getByRole('region', { name: 'Side by side' })
      .locator('td.agree, td.differ, td.unknown');
    await expect(verdicts).not.toHaveCount(0);
    await saved
      .getByRole('button', { name: /^Show the run/ })
      .last()
      .click();
    await expect(exportJson(page)).toBeVisible();
    await saved
      .getByRole('button', { name: /^Delete the run/ })
      .first()
      .click();
    await expect(saved.getByRole('listitem')).toHaveCount(1);
  });

  test('cancelled in the middle: the report is kept, and says so', async ({ page }) => {
    await page.goto(`${server.url}${PATH}bench.html?engine=fake&rate=4`);
    await page.getByRole('combobox', { name: 'Length' }).selectOption('short');
    await start(page, page.getByText(/sample \d of/));
    await page.getByRole('button', { name: 'Cancel' }).click();
    await expect(page.getByText('This report is not complete.')).toBeVisible();
    const report = await downloadReport(page);
    expect(report.status).toBe('partial');
    expect(report.labels).toEqual(expect.arrayContaining(['partial', 'aborted']));
  });
});

test.describe('tiny-mistral on the real engine', () => {
  let server: StaticServer;
  let models: string;
  test.beforeAll(async () => {
    const { folder } = await ensureTinyMistral('plain');
    models = await mkdtemp(join(tmpdir(), 'tramontane-bench-'));
    await writeFile(join(models, 'models.json'), TINY_MODELS_JSON);
    server = await startStaticServer({
      mounts: { [`/${PATH}`]: SITE, [`/${PATH}models/`]: models, [`/${PATH}models/tiny-mistral/`]: folder },
    });
  });
  test.afterAll(async () => {
    await server.close();
    await rm(models, { recursive: true, force: true });
  });

  test('a whole report that validates', async ({ page }) => {
    await page.goto(`${server.url}${PATH}bench.html`);
    await measure(page, ['standard', 'selfcheck', 'load', 'kernels']);
    const report = await downloadReport(page);
    expect(report.status).toBe('complete');
    expect(report.model.id).toBe('tiny-mistral');
    expect(report.tests.map(({ id }) => id)).toEqual(
      expect.arrayContaining(['pp64', 'tg16', 'pp64 @ d128', 'tg16 @ d128']),
    );
    expect(report.selfCheck?.agreement).toBeGreaterThan(95);
    for (const { id, samples, statistics } of report.tests) {
      expect(samples, id).not.toHaveLength(0);
      // On a machine that is busy throughout, or too fast for a page's clock, there is no figure but a reason.
      const figure =
        statistics.mean ?? report.notes.find((note) => note.startsWith(`${id}: no sample counts`));
      expect(figure, `${id}\n${report.notes.join('\n')}`).toBeDefined();
    }

    const view = page.getByRole('region', { name: 'Kernel by kernel' });
    await expect(view.getByRole('img', { name: /^Roofline\. Memory allows .* GB\/s/ })).toBeVisible();
    const table = view.getByRole('group', { name: 'A decoded token at depth 128' });
    const { kernels } = report.kernels!.decode;
    await expect(table.getByRole('row')).toHaveCount(kernels.length + 1);
    await expect(table.getByRole('rowheader').first()).toContainText(`D1 ${kernels[0]!.op}`);
  });

  test('the kernel view, cancelled in the middle: its worker is gone, and the page measures again', async ({
    page,
  }) => {
    await page.goto(`${server.url}${PATH}bench.html`);
    await choose(page, ['kernels']);
    await start(page, page.getByText(/^kernels: /));
    // The engine's and the kernels'.
    expect(page.workers()).toHaveLength(2);
    await page.getByRole('button', { name: 'Cancel' }).click();
    await expect(page.getByText('This report is not complete.')).toBeVisible();
    await expect.poll(() => page.workers().length).toBe(1);
    const report = await downloadReport(page);
    expect(report).toMatchObject({ status: 'partial', labels: expect.arrayContaining(['aborted']) });
    expect(report.kernels).toBeNull();

    // The model was unloaded for the kernels.
    await measure(page, ['selfcheck']);
    expect((await downloadReport(page)).selfCheck?.agreement).toBeGreaterThan(95);
  });
});
