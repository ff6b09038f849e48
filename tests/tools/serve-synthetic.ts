/** `tsx tests/tools/serve-synthetic.ts BUILD`: serves the file of Mistral Small's size; prints its address. */
import { createSyntheticGguf, type SyntheticBuild, startSyntheticServer } from './synthetic-gguf.ts';

const server = await startSyntheticServer(createSyntheticGguf(process.argv[2] as SyntheticBuild));
process.stdout.write(`${server.url}\n`);
