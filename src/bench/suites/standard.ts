/** Prompt processing and token generation, each at a depth of the KV cache: llama-bench's pp and tg. */
import { longEnough } from '../long-enough.ts';
import { type PlannedTest, type SuiteContext, work } from '../planned-test.ts';
import { fillerTokens } from '../workloads.ts';

export function planStandard({ engine, model, size, leastMs, leaveOut }: SuiteContext): PlannedTest[] {
  const { promptTokens, outputTokens, repetitions, warmUps } = size;
  const longest = Math.max(promptTokens, outputTokens);
  const depths = size.depths.filter((depth) => {
    const fits = depth + longest <= model.contextLength;
    if (!fits)
      leaveOut(
        `Depth ${depth} was left out: with ${longest} tokens it is over the context of ${model.contextLength}.`,
      );
    return fits;
  });
  const tokens = fillerTokens(Math.max(0, ...depths) + promptTokens, model.vocabularySize);
  const prompt = tokens.slice(0, promptTokens);
  let filled = -1;

  const at = (depth: number): PlannedTest[] => {
    const suffix = depth === 0 ? '' : ` @ d${depth}`;
    /** A depth is filled once; what a sample adds to the KV cache is cut off before the next. */
    const setUp: PlannedTest['setUp'] = async (options) => {
      if (filled !== depth) await engine.fillContext(tokens.slice(0, depth), options);
      filled = depth;
    };
    /** After a failure the KV cache is empty. */
    const inContext = async <T>(action: () => Promise<T>): Promise<T> => {
      try {
        await engine.cutContext(depth);
        return await action();
      } catch (error) {
        filled = -1;
        throw error;
      }
    };
    const common = { suite: 'standard', repetitions, warmUps, setUp } as const;
    return [
      {
        ...common,
        series: [{ id: `pp${promptTokens}${suffix}`, unit: 'tokens/s', tokens: promptTokens, depth }],
        setUpWork: work(depth),
        work: work(promptTokens),
        async take(options) {
          const { ms, parts, times } = await longEnough(leastMs, async () => {
            const { ms, chunkMs } = await inContext(() => engine.timePrefill(prompt, options));
            return { ms, parts: chunkMs };
          });
          return { values: [perSecond(promptTokens * times, ms)], ms, parts, times };
        },
      },
      {
        ...common,
        series: [{ id: `tg${outputTokens}${suffix}`, unit: 'tokens/s', tokens: outputTokens, depth }],
        setUpWork: work(0),
        work: work(0, outputTokens),
        async take(options) {
          const request = { firstToken: tokens[depth]!, count: outputTokens };
          const { ms, parts, times } = await longEnough(leastMs, async () => {
            const { ms, stepMs } = await inContext(() => engine.timeDecode(request, options));
            return { ms, parts: stepMs };
          });
          return { values: [perSecond(outputTokens * times, ms)], ms, parts, times };
        },
      },
    ];
  };
  return depths.flatMap(at);
}

function perSecond(tokens: number, ms: number): number {
  return (tokens / ms) * 1000;
}
