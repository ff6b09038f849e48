import { describe, expect, test } from 'vitest';
import { noKernels, TEST_HOST, VirtualClock } from '../../tests/tools/bench-tools.ts';
import { createFakeEngine } from '../engine/fake-engine.ts';
import { blindProbe } from './busy-probe.ts';
import { toCsv, toJson, toMarkdown } from './export.ts';
import type { BenchReport } from './report.ts';
import { runBenchmark } from './run.ts';

const clock = new VirtualClock();
const report = await runBenchmark(
  createFakeEngine({ clock, rate: 50, prefillRate: 1000 }),
  { id: 'scripted', url: 'https://models.invalid/' },
  {
    suites: ['standard', 'chat'],
    host: TEST_HOST,
    version: '1.2.3',
    probe: blindProbe,
    measureKernels: noKernels,
    clock,
  },
);

/** Cells of each row of a CSV, by RFC 4180. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [[]];
  const pattern = /("(?:[^"]|"")*"|[^,\r\n]*)(,|\r\n|$)/g;
  for (const [, cell, end] of text.matchAll(pattern)) {
    rows.at(-1)!.push(cell!.startsWith('"') ? cell!.slice(1, -1).replaceAll('""', '"') : cell!);
    if (end === '\r\n') rows.push([]);
    if (end === '') break;
  }
  return rows.slice(0, -1);
}

function named(name: string): BenchReport {
  return { ...report, model: { ...report.model, name } };
}

test('JSON is the report', () => {
  expect(JSON.parse(toJson(report))).toEqual(JSON.parse(JSON.stringify(report)));
});

test("Markdown has llama-bench's columns, and what is needed to read them", () => {
  const lines = toMarkdown(report).split('\n');
  expect(lines[0]).toMatch(/^\| model +\| +size \| +params \| backend \| +ngl \| +test \| +t\/s \|$/);
  expect(lines[2]).toMatch(
    /^\| Scripted model none \| 93\.46 MiB \| 135\.00 M \| WebGPU +\| +99 \| +pp512 \| 1000\.00 ± 0\.00 \|$/,
  );
  expect(lines[5]).toContain('tg128 @ d2048 |');
  expect(lines.some((line) => /^\| chat 1k: time to first token +\|/.test(line))).toBe(true);
  expect(toMarkdown({ ...report, labels: ['short', 'software'] })).toContain(
    '**short tests: not comparable with pp512 and tg128; software adapter',
  );
});

test('CSV has a row a test, with times in nanoseconds beside rates', () => {
  const [header, ...rows] = parseCsv(toCsv(report));
  expect(rows).toHaveLength(report.tests.length);
  expect(rows.every((row) => row.length === header!.length)).toBe(true);
  const cell = (row: number, column: string) => rows[row]![header!.indexOf(column)];
  expect(cell(0, 'test')).toBe('pp512');
  expect([cell(0, 'n_prompt'), cell(0, 'n_gen'), cell(0, 'n_depth')]).toEqual(['512', '0', '0']);
  expect([cell(3, 'n_prompt'), cell(3, 'n_gen'), cell(3, 'n_depth')]).toEqual(['0', '128', '2048']);
  expect(Number(cell(0, 'avg_ns'))).toBeCloseTo(512e6, -3);
  expect(Number(cell(0, 'avg_ts'))).toBeCloseTo(1000, 6);
  expect(cell(0, 'samples')!.split(' ')).toHaveLength(6);
  expect(cell(0, 'marks')).toBe('warm-up counted counted counted counted counted');
});

describe('a name from a file is only a name', () => {
  test.each(['a | b', 'line\nbreak', '[x](javascript:1) <img>', '`code`'])('in Markdown: %j', (name) => {
    const lines = toMarkdown(named(name)).split('\n');
    const plain = toMarkdown(report).split('\n');
    expect(lines).toHaveLength(plain.length);
    const unescaped = lines[2]!.match(/(?<!\\)[|`[<]/g)!;
    expect(unescaped).toEqual(Array(8).fill('|'));
  });

  test.each(['=HYPERLINK("x")', '+1', '-1', '@a', 'a,"b"\r\nc'])('in CSV: %j', (name) => {
    const [header, first] = parseCsv(toCsv(named(name)));
    const cell = first![header!.indexOf('model_type')]!;
    expect(cell.replace(/^'/, '')).toBe(`${name} none`);
    expect(cell).not.toMatch(/^[=+\-@]/);
  });
});
