// Clients that others wrote, told over stdin what to do; see internal/e2e/matrix/node_test.go for the other side. A line in is {id, connection, op, with}; a line out is {id, value} or {id, error}, or, for what a
// client hears of its server, {connection, heard}.
import { createInterface } from 'node:readline';

const generation = process.argv[2]; // "sdk", or "client" with an era
const era = process.argv[3];
const connections = new Map();
const aborts = new Map(); // by the id of the request that can be taken back

const say = (message) => process.stdout.write(JSON.stringify(message) + '\n');

const who = { name: 'matrix', version: '1' };
const capabilities = { elicitation: { form: {}, url: {} }, sampling: {}, roots: { listChanged: true } };

// answers are what a person, a model and a program say when they are asked.
const answers = (heard) => ({
  'elicitation/create': ({ params }) => {
    if (params.mode === 'url') {
      heard('link');
      return { action: 'accept' };
    }
    heard('form');
    const content = {};
    for (const name of params.requestedSchema.required ?? []) content[name] = 'ada@example.com';
    return { action: 'accept', content };
  },
  'sampling/createMessage': () => {
    heard('model');
    return { role: 'assistant', model: 'matrix', stopReason: 'endTurn', content: { type: 'text', text: 'said the model' } };
  },
  'roots/list': () => {
    heard('roots');
    return { roots: [{ uri: 'file:///matrix', name: 'matrix' }] };
  },
});

const notifications = (heard) => ({
  'notifications/message': () => heard('log'),
  'notifications/tools/list_changed': () => heard('changed'),
  'notifications/resources/updated': ({ params }) => heard('updated ' + params.uri),
});

// connectSDK connects with the first generation, which speaks the older era only.
async function connectSDK(url, requestInit, heard) {
  const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
  const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
  const types = await import('@modelcontextprotocol/sdk/types.js');
  const client = new Client(who, { capabilities });
  const asked = answers(heard);
  client.setRequestHandler(types.ElicitRequestSchema, asked['elicitation/create']);
  client.setRequestHandler(types.CreateMessageRequestSchema, asked['sampling/createMessage']);
  client.setRequestHandler(types.ListRootsRequestSchema, asked['roots/list']);
  const told = notifications(heard);
  client.setNotificationHandler(types.LoggingMessageNotificationSchema, told['notifications/message']);
  client.setNotificationHandler(types.ToolListChangedNotificationSchema, told['notifications/tools/list_changed']);
  client.setNotificationHandler(types.ResourceUpdatedNotificationSchema, told['notifications/resources/updated']);
  const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit });
  await client.connect(transport);
  const job = async (params, options) => {
    for await (const message of client.experimental.tasks.callToolStream(params, undefined, { ...options, task: { ttl: 60000 } })) {
      if (message.type === 'taskCreated') heard('task');
      if (message.type === 'result') return message.result;
      if (message.type === 'error') throw message.error;
    }
  };
  return { client, transport, call: (params, options) => client.callTool(params, undefined, options), job };
}

// connectClient connects with the second generation, pinned to an era.
async function connectClient(url, requestInit, heard) {
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const mode = era === 'modern' ? { pin: '2026-07-28' } : 'legacy';
  const client = new Client(who, { capabilities, versionNegotiation: { mode } });
  for (const [method, answer] of Object.entries(answers(heard))) client.setRequestHandler(method, answer);
  for (const [method, tell] of Object.entries(notifications(heard))) client.setNotificationHandler(method, tell);
  const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit });
  await client.connect(transport);
  return { client, transport, call: (params, options) => client.callTool(params, options) };
}

const textOf = (parts) => parts.map((part) => part.text ?? part.resource?.text ?? '').join('');

// result is what a tool says; its own failure is told apart from the protocol's.
function result(of) {
  const text = textOf(of.content);
  return of.isError ? { failed: text } : { text };
}

const ops = {
  async connect(_, { url, token }, heard) {
    const requestInit = token ? { headers: { Authorization: `Bearer ${token}` } } : {};
    return (generation === 'sdk' ? connectSDK : connectClient)(url, requestInit, heard);
  },
  async close({ client, transport }) {
    await transport.terminateSession?.();
    await client.close();
  },
  async tools({ client }) {
    return (await client.listTools()).tools.map((tool) => tool.name);
  },
  async call({ call, level }, { name, arguments: args, progress }, heard, signal) {
    const params = { name, arguments: args };
    if (level && era === 'modern') params._meta = { 'io.modelcontextprotocol/logLevel': level };
    return result(await call(params, { signal, onprogress: progress ? () => heard('progress') : undefined }));
  },
  async job({ job }, { name, arguments: args }, heard, signal) {
    if (!job) throw new Error('this client has no tasks');
    return result(await job({ name, arguments: args }, { signal }));
  },
  async prompts({ client }) {
    return (await client.listPrompts()).prompts.map((prompt) => prompt.name);
  },
  async prompt({ client }, { name, arguments: args }) {
    return textOf((await client.getPrompt({ name, arguments: args })).messages.map((message) => message.content));
  },
  async resources({ client }) {
    return (await client.listResources()).resources.map((resource) => resource.uri);
  },
  async templates({ client }) {
    return (await client.listResourceTemplates()).resourceTemplates.map((template) => template.uriTemplate);
  },
  async read({ client }, { uri }) {
    return textOf((await client.readResource({ uri })).contents);
  },
  async complete({ client }, { prompt, argument, value }) {
    return (await client.complete({ ref: { type: 'ref/prompt', name: prompt }, argument: { name: argument, value } })).completion.values;
  },
  async level(connection, { level }) {
    connection.level = level;
    if (era !== 'modern') await connection.client.setLoggingLevel(level);
  },
  async watch({ client }, { uri }) {
    if (era === 'modern') await client.listen(uri ? { resourceSubscriptions: [uri] } : { toolsListChanged: true });
    else if (uri) await client.subscribeResource({ uri });
  },
  async ping({ client }) {
    await client.ping();
  },
};

async function perform({ id, connection, op, with: argument }) {
  const heard = (what) => say({ connection, heard: what });
  const abort = new AbortController();
  aborts.set(id, abort);
  try {
    let value = await ops[op](connections.get(connection), argument ?? {}, heard, abort.signal);
    if (op === 'connect') {
      connections.set(connection, value);
      value = undefined;
    }
    say({ id, value });
  } catch (error) {
    say({ id, error: String(error?.message ?? error) });
  } finally {
    aborts.delete(id);
  }
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    const request = JSON.parse(line);
    if (request.op === 'abort') aborts.get(request.id)?.abort('the test has changed its mind');
    else void perform(request);
  })
  .on('close', () => process.exit(0));
