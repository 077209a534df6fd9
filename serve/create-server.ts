import { randomUUID } from 'node:crypto';
import type { AddressInfo } from 'node:net';
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import { type Diagnostic, failure, type Result, success } from '../files/diagnostics.ts';
import type { Engine } from '../runtime/engine.ts';
import { type Job, streamAnswer, wholeAnswer } from './answer.ts';
import { chatShape, completionShape, type ShapeOptions } from './answer-shape.ts';
import { chatPlan } from './chat-plan.ts';
import { onClientError } from './client-error.ts';
import { completionPlan } from './completion-plan.ts';
import { eventStream } from './event-stream.ts';
import { type Exchange, exchanges } from './exchanges.ts';
import { hostName, isLoopback, urlHost } from './loopback.ts';
import type { PlanOptions } from './plan.ts';
import { errorDocument, overloaded, type Refusal, stopping } from './refusal.ts';
import { refusalOfError, unknownUrl } from './routing-refusals.ts';
import { metricsType, serverMetrics } from './server-metrics.ts';
import { type Endpoint, type ServerOptions, withDefaults } from './server-options.ts';

/** An engine behind OpenAI's completions interface. */
export interface Server {
  /** Starts to listen; the value is the URL. Port 0 takes any that is free. */
  readonly listen: (where: { readonly host: string; readonly port: number }) => Promise<Result<string>>;
  /**
   * Takes no more requests, lets those that run finish for `grace` milliseconds, cancels the rest, and closes every
   * connection. The engine stays open. The value is how many were cancelled.
   */
  readonly stop: (grace: number) => Promise<number>;
}

/**
 * @param version of rtc, for `/metrics`
 * @param options what is not given has the default that {@link ServerOptions} names
 */
export function createServer(engine: Engine, version: string, options: ServerOptions = {}): Server {
  const settings = withDefaults(options, engine.limits.maxSequences);
  const room = engine.limits.maxSequences + settings.maxQueue;
  const planOptions: PlanOptions = { maxChoices: room, exit: settings.exit };
  const metrics = serverMetrics(engine, version);
  const unsubscribe = engine.onStep(metrics.step);
  const created = Math.floor(Date.now() / 1000);
  const exchanging = exchanges({
    room,
    requestTime: settings.requestTime,
    onFirstToken: metrics.firstToken,
    onEnded: (report) => {
      metrics.requestEnded(report);
      settings.onEnded(report);
    },
  });
  const ofRequest = new WeakMap<FastifyRequest, Exchange>();
  let ending = false;

  const app = fastify({
    bodyLimit: settings.maxBody,
    requestTimeout: 2 * settings.receiveTime,
    keepAliveTimeout: settings.idleTime,
    return503OnClosing: false,
    genReqId: () => randomUUID(),
    clientErrorHandler: onClientError,
    frameworkErrors: (error, _, reply: FastifyReply) => {
      const refusal = refusalOfError(error, settings.maxBody);
      reply.code(refusal.status).send(errorDocument(refusal));
    },
    http: {
      headersTimeout: settings.receiveTime,
      connectionsCheckingInterval: Math.min(5000, Math.ceil(settings.receiveTime / 4)),
    },
  });
  app.server.maxConnections = settings.maxConnections;
  // Browsers send other types than JSON to anybody without asking first.
  app.removeContentTypeParser('text/plain');

  const refuse = (request: FastifyRequest, reply: FastifyReply, refusal: Refusal) => {
    const outcome = refusal.status === 429 ? 'overloaded' : refusal.status >= 500 ? 'failed' : 'refused';
    ofRequest.get(request)?.settle(outcome);
    return reply
      .code(refusal.status)
      .headers(refusal.headers ?? {})
      .send(errorDocument(refusal));
  };

  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    const host = request.headers.host;
    if (settings.loopbackOnly && host !== undefined && !isLoopback(hostName(host) ?? '')) {
      return refuse(request, reply, foreignHost);
    }
    return undefined;
  });
  app.setErrorHandler((error, request, reply) => {
    const refusal = refusalOfError(error, settings.maxBody);
    if (refusal.status === 500) settings.onFailure(error);
    return refuse(request, reply, refusal);
  });
  app.setNotFoundHandler((request, reply) => refuse(request, reply, unknownUrl(app, request)));

  app.get('/health', async (_, reply) => {
    const status = ending
      ? 'stopping'
      : await engine.state().then(
          () => 'ok',
          () => 'failed',
        );
    return reply.code(status === 'ok' ? 200 : 503).send({ status });
  });
  app.get('/metrics', async (_, reply) => {
    const text = metrics.text({ engine: await engine.state(), requests: exchanging.active() });
    return reply.type(metricsType).send(text);
  });
  addModelRoutes(app, engine, created, refuse);

  const addTextRoute = (url: string, endpoint: Endpoint) => {
    const onRequest = async (request: FastifyRequest, reply: FastifyReply) => {
      if (reply.sent) return undefined;
      if (ending) return refuse(request, reply.header('connection', 'close'), stopping);
      const exchange = exchanging.begin(endpoint, reply.raw);
      // Its body is not read: there may be as many such requests as there are connections.
      if (exchange === undefined) {
        metrics.requestEnded({ ...nothing, endpoint, outcome: 'overloaded' });
        return refuse(request, reply.header('connection', 'close'), overloaded('Too many requests are under way.'));
      }
      ofRequest.set(request, exchange);
      return undefined;
    };
    app.post(url, { onRequest }, async (request, reply) => {
      const exchange = ofRequest.get(request)!;
      const plan =
        endpoint === 'chat'
          ? chatPlan(engine, settings.chatTemplate, planOptions, request.body)
          : completionPlan(engine, planOptions, request.body);
      if (!plan.ok) return refuse(request, reply, plan.refusal);
      const { tokenIds, includeUsage, choices, stream } = plan.value;
      if (!exchange.reserve(choices.length)) return refuse(request, reply, overloaded('The queue is full.'));
      const shaped: ShapeOptions = { model: engine.manifest.name, tokenIds, includeUsage };
      const shape = endpoint === 'chat' ? chatShape(shaped) : completionShape(shaped);
      const job: Job = { engine, plan: plan.value, shape, exchange, onFailure: settings.onFailure };
      if (!stream) {
        const answer = await wholeAnswer(job);
        return answer.ok ? reply.send(answer.value) : refuse(request, reply, answer.refusal);
      }
      const streamed = await streamAnswer(job, () => {
        reply.hijack();
        return eventStream(reply.raw, { 'x-request-id': request.id }, settings.stallTime);
      });
      return streamed.ok ? reply : refuse(request, reply, streamed.refusal);
    });
  };
  addTextRoute('/v1/completions', 'completions');
  addTextRoute('/v1/chat/completions', 'chat');

  return {
    listen: async ({ host, port }) => {
      try {
        await app.listen({ host, port });
      } catch (error) {
        return failure(cannotListen(error, host, port));
      }
      const { port: taken } = app.server.address() as AddressInfo;
      return success(`http://${urlHost(host)}:${taken}`);
    },
    stop: async (grace) => {
      ending = true;
      const closed = app.close();
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, grace);
      });
      await Promise.race([exchanging.ended(), late]);
      clearTimeout(timer);
      const left = exchanging.active();
      exchanging.abortAll('stopped');
      // Every one of them ends within the time for its last words.
      await exchanging.ended();
      app.server.closeAllConnections();
      await closed;
      unsubscribe();
      return left;
    },
  };
}

const nothing = { promptTokens: 0, newTokens: 0, meanLoops: undefined, seconds: 0 };

const foreignHost: Refusal = {
  status: 403,
  problems: [
    { message: 'This server answers only to names of this machine, such as localhost.', code: 'foreign_host' },
  ],
};

type Refuse = (request: FastifyRequest, reply: FastifyReply, refusal: Refusal) => FastifyReply;

function addModelRoutes(app: FastifyInstance, { manifest, limits }: Engine, created: number, refuse: Refuse): void {
  const model = {
    id: manifest.name,
    object: 'model',
    created,
    owned_by: 'rtc',
    max_model_len: limits.maxPositions,
    loops: manifest.recursion.loops,
  };
  app.get('/v1/models', async () => ({ object: 'list', data: [model] }));
  app.get<{ Params: { '*': string } }>('/v1/models/*', async (request, reply) => {
    const asked = request.params['*'];
    if (asked === manifest.name) return model;
    const message = `The model "${asked}" does not exist. This server has "${manifest.name}".`;
    return refuse(request, reply, { status: 404, problems: [{ message, param: 'model', code: 'model_not_found' }] });
  });
}

function cannotListen(error: unknown, host: string, port: number): Diagnostic {
  const { code, message } = error as NodeJS.ErrnoException;
  const place = `${urlHost(host)}:${port}`;
  const [said, hint] =
    code === 'EADDRINUSE'
      ? [`Something else listens on ${place}.`, 'Choose another --port; 0 takes any that is free.']
      : code === 'EACCES'
        ? [`Listening on ${place} is not allowed.`, 'Ports below 1024 belong to the system: choose a larger --port.']
        : [`Nothing can listen on ${place}: ${message}.`, 'Choose another --host.'];
  return { severity: 'error', code: 'cannot-listen', message: said, hint };
}
