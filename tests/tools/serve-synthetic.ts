/** `tsx tests/tools/serve-synthetic.ts`: serves the file of Mistral Small's size until it is ended; prints its address. */
import { createSyntheticGguf, startSyntheticServer } from './synthetic-gguf.ts';

const server = await startSyntheticServer(createSyntheticGguf());
process.stdout.write(`${server.url}\n`);
