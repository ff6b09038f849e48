/** The worker's side of the protocol: runs what it is asked on an engine. */
import { unreachable } from '../base/assert.ts';
import type { BenchmarkEngine, ChatChunk } from '../engine/api.ts';
import { type Call, type CallContext, CallServer } from './call-server.ts';
import type { Endpoint, EngineAnswer, EngineCalls, EngineMessage } from './protocol.ts';

/** Serves `engine` to whoever is at the other end. */
export function serveEngine(engine: BenchmarkEngine, endpoint: Endpoint<EngineMessage, EngineAnswer>): void {
  const streams = new Map<number, AsyncIterator<ChatChunk>>();
  let announced = engine.getLoadedModel();

  const send = (message: EngineAnswer) => endpoint.postMessage(message);
  const announceModel = () => {
    const model = engine.getLoadedModel();
    if (model === announced) return;
    announced = model;
    send({ kind: 'model', model });
  };
  const calls = new CallServer<EngineCalls>({
    send,
    run: (call, context) => dispatch(engine, call, context),
    onEnd(id) {
      streams.delete(id);
      announceModel();
    },
  });

  const pull = async (id: number) => {
    const stream = streams.get(id);
    // A pull may cross the end of its stream on the way.
    if (stream === undefined) return;
    try {
      const next = await stream.next();
      if (next.done === true) {
        calls.end(id);
        send({ kind: 'end', id });
      } else {
        send({ kind: 'chunk', id, chunk: next.value });
      }
    } catch (error) {
      calls.fail(id, error);
    }
  };

  endpoint.addEventListener('message', ({ data }) => {
    switch (data.kind) {
      case 'stream': {
        const context = calls.begin(data.id);
        streams.set(data.id, engine.streamChat(data.request, context)[Symbol.asyncIterator]());
        return;
      }
      case 'pull':
        void pull(data.id);
        return;
      default:
        calls.receive(data);
    }
  });
  send({ kind: 'ready' });
}

async function dispatch(
  engine: BenchmarkEngine,
  call: Call<EngineCalls>,
  { signal, onProgress }: CallContext,
): Promise<EngineCalls[keyof EngineCalls]['output']> {
  switch (call.name) {
    case 'getAdapter':
      return engine.getAdapter({ signal });
    case 'loadModel':
      return engine.loadModel(call.input.source, { ...call.input.options, signal, onProgress });
    case 'unloadModel':
      await engine.unloadModel();
      return null;
    case 'score':
      return engine.score(call.input, { signal });
    case 'tokenizeChat':
      return engine.tokenizeChat(call.input, { signal });
    case 'deleteModel':
      await engine.deleteModel(call.input);
      return null;
    case 'listStoredModels':
      return engine.listStoredModels();
    case 'fillContext':
      return engine.fillContext(call.input, { signal });
    case 'cutContext':
      await engine.cutContext(call.input);
      return null;
    case 'timePrefill':
      return engine.timePrefill(call.input, { signal });
    case 'timeDecode':
      return engine.timeDecode(call.input, { signal });
    case 'readCounters':
      return engine.readCounters();
    case 'timeStoreReads':
      return engine.timeStoreReads({ signal });
    case 'describeModel':
      return engine.describeModel();
    case 'dispose':
      await engine.dispose();
      return null;
    default:
      return unreachable(call);
  }
}
