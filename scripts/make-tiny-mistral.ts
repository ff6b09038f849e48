/** Makes the test model tiny-mistral in .cache/tiny-mistral and prints where it is. */
import { relative } from 'node:path';
import { ensureTinyMistral } from '../tests/tools/tiny-mistral.ts';

const { gguf, folder } = await ensureTinyMistral();
console.log(`${relative('.', gguf)}\n${relative('.', folder)}`);
