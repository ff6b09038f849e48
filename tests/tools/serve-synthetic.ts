/**
 * `tsx tests/tools/serve-synthetic.ts [ELSEWHERE]`: serves the file of Mistral Small's size until it is ended; prints its
 * address. Requests for anything else are passed on to ELSEWHERE.
 */
import { createSyntheticGguf, startSyntheticServer } from './synthetic-gguf.ts';

const server = await startSyntheticServer(createSyntheticGguf(), process.argv[2]);
process.stdout.write(`${server.url}\n`);
