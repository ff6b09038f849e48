import { beforeAll, describe, expect, test } from 'vitest';
import { writeGguf } from '../../../tests/tools/gguf-writer.ts';
import { type SplitFile, splitGguf } from '../../../tests/tools/split-gguf.ts';
import { createTinyMistralGguf } from '../../../tests/tools/tiny-mistral.ts';
import { memorySource } from '../../formats/byte-source.ts';
import { parseGguf } from '../../formats/gguf/parse-gguf.ts';
import { joinSources } from '../../formats/joined-source.ts';
import { type NamedSource, openGguf } from './open-gguf.ts';

const named = ({ name, bytes }: SplitFile): NamedSource => ({ name, source: memorySource(bytes) });

let whole: Uint8Array<ArrayBuffer>;
let splits: SplitFile[];

beforeAll(async () => {
  whole = createTinyMistralGguf();
  splits = await splitGguf(whole, 'tiny', 3);
});

async function expectSameTensors(files: readonly NamedSource[]): Promise<void> {
  const opened = await openGguf(files);
  const source = joinSources(opened.files.map((file) => file.source));
  const expected = await parseGguf(memorySource(whole));
  expect(opened.gguf.tensors.map(({ name }) => name)).toEqual(expected.tensors.map(({ name }) => name));
  for (const [index, tensor] of opened.gguf.tensors.entries()) {
    const { offsetBytes, byteLength } = expected.tensors[index]!;
    const bytes = await source.read(tensor.offsetBytes, tensor.byteLength);
    expect(Buffer.compare(bytes, whole.subarray(offsetBytes, offsetBytes + byteLength)), tensor.name).toBe(0);
  }
  for (const key of expected.metadata.keys()) expect(opened.gguf.metadata.has(key)).toBe(true);
}

test('a single file is opened as it is', async () => {
  await expectSameTensors([{ name: 'tiny.gguf', source: memorySource(whole) }]);
});

describe('splits', () => {
  test('are joined in whatever order they come', async () => {
    const [a, b, c] = splits.map(named) as [NamedSource, NamedSource, NamedSource];
    for (const order of [
      [a, b, c],
      [c, b, a],
      [b, c, a],
    ]) {
      await expectSameTensors(order);
    }
  });

  test('may keep the metadata in a file without tensors, and have any names', async () => {
    await expectSameTensors((await splitGguf(whole, 'tiny', 4, true)).map(named).reverse());
    await expectSameTensors(splits.map((split, index) => named({ ...split, name: `part ${index}` })));
  });

  test('a file of one split is a whole model', async () => {
    await expectSameTensors((await splitGguf(whole, 'tiny', 1)).map(named));
  });

  async function expectRefusal(files: readonly NamedSource[], message: RegExp, names: readonly string[]) {
    await expect(openGguf(files)).rejects.toMatchObject({
      name: 'FormatError',
      code: 'format-invalid',
      message: expect.stringMatching(message),
      nextStep: expect.any(String),
      data: { files: names },
    });
  }

  test('missing ones are named', async () => {
    const [a, b, c] = splits.map(named) as [NamedSource, NamedSource, NamedSource];
    await expectRefusal([a, c], /1 of the model's 3 files are missing/, ['tiny-00002-of-00003.gguf']);
    await expectRefusal([b], /2 of/, ['tiny-00001-of-00003.gguf', 'tiny-00003-of-00003.gguf']);
  });

  test('doubled ones are named', async () => {
    const twin = named({ ...splits[1]!, name: 'tiny-00002-of-00003 (1).gguf' });
    await expectRefusal([...splits.map(named), twin], /both file 2 of 3/, [
      'tiny-00002-of-00003.gguf',
      'tiny-00002-of-00003 (1).gguf',
    ]);
  });

  test('foreign ones are named', async () => {
    const others = await splitGguf(whole, 'other', 3);
    await expectRefusal([...splits.slice(0, 2), others[2]!].map(named), /not of the same model/, [
      'other-00003-of-00003.gguf',
    ]);
    const inFour = await splitGguf(whole, 'tiny', 4);
    await expectRefusal([...splits.slice(0, 2), inFour[2]!].map(named), /not of the same model/, [
      'tiny-00003-of-00004.gguf',
    ]);
    await expectRefusal(
      [{ name: 'whole.gguf', source: memorySource(whole) }, ...splits.map(named)],
      /a model of its own/,
      ['whole.gguf', 'tiny-00001-of-00003.gguf'],
    );
    // Renamed, it shows by the tensors that it brings.
    const renamed = { ...splits[0]!, bytes: (await splitGguf(whole, 'tiny', 3, true))[1]!.bytes };
    await expect(openGguf([renamed, ...splits.slice(1)].map(named))).rejects.toMatchObject({
      code: 'format-invalid',
    });
  });

  test('a number that cannot be is refused', async () => {
    const split = (number: number, count: number) =>
      named({
        name: 'x',
        bytes: writeGguf({
          metadata: [
            ['split.no', { type: 'uint16', value: number }],
            ['split.count', { type: 'uint16', value: count }],
          ],
          tensors: [],
        }),
      });
    await expectRefusal([split(3, 3)], /file 4 of 3/, ['x']);
    await expectRefusal([split(0, 65535)], /at most/, ['x']);
    await expect(openGguf([split(0, 2), split(1, 2)])).resolves.toMatchObject({ gguf: { tensors: [] } });
  });

  test('a broken one is named', async () => {
    const broken = named({ name: splits[2]!.name, bytes: splits[2]!.bytes.slice(0, 40) });
    await expect(openGguf([...splits.slice(0, 2).map(named), broken])).rejects.toMatchObject({
      message: expect.stringContaining('tiny-00003-of-00003.gguf: '),
      nextStep: 'The file is incomplete: download it again.',
      data: { file: 'tiny-00003-of-00003.gguf', offset: expect.any(Number) },
    });
  });
});

test.each([
  ['general.architecture', 'clip'],
  ['general.type', 'mmproj'],
])('a vision tower is refused by name (%s)', async (key, value) => {
  const bytes = writeGguf({ metadata: [[key, { type: 'string', value }]], tensors: [] });
  await expect(openGguf([named({ name: 'mmproj-F16.gguf', bytes })])).rejects.toMatchObject({
    code: 'format-unsupported',
    message: expect.stringContaining('mmproj-F16.gguf'),
  });
});

test('no file at all is refused', async () => {
  await expect(openGguf([])).rejects.toMatchObject({ code: 'format-invalid' });
});
