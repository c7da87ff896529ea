// An agent that lists and calls through a client that others wrote. It reads {kind, token, visits} from stdin and writes one outcome for each visit to stdout; see matrix_test.go for both.
import { readFileSync } from 'node:fs';

const { kind, token, visits } = JSON.parse(readFileSync(0, 'utf8'));
const requestInit = { headers: { Authorization: `Bearer ${token}` } };
const who = { name: 'agent', version: '1' };

// connect returns a client that has connected, with the same call for both generations of the SDK.
async function connect(url) {
  if (kind === 'sdk') {
    const { Client } = await import('@modelcontextprotocol/sdk/client/index.js');
    const { StreamableHTTPClientTransport } = await import('@modelcontextprotocol/sdk/client/streamableHttp.js');
    const client = new Client(who);
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
    return { client, call: (params, options) => client.callTool(params, undefined, options) };
  }
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const mode = kind === 'client-modern' ? { pin: '2026-07-28' } : 'legacy';
  const client = new Client(who, { versionNegotiation: { mode } });
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
  return { client, call: (params, options) => client.callTool(params, options) };
}

async function visit({ url, calls }) {
  const outcome = { tools: [], calls: [], error: '' };
  let client;
  try {
    const connected = await connect(url);
    client = connected.client;
    outcome.tools = (await client.listTools()).tools.map((tool) => tool.name);
    for (const { name, arguments: args, progress } of calls) {
      const said = { text: '', progress: 0, error: '' };
      try {
        const options = progress ? { onprogress: () => said.progress++ } : undefined;
        const result = await connected.call({ name, arguments: args }, options);
        const text = result.content.map((part) => part.text ?? '').join('');
        said[result.isError ? 'error' : 'text'] = text;
      } catch (error) {
        said.error = String(error.message ?? error);
      }
      outcome.calls.push(said);
    }
  } catch (error) {
    outcome.error = String(error.stack ?? error);
  } finally {
    await client?.close();
  }
  return outcome;
}

const outcomes = [];
for (const one of visits) outcomes.push(await visit(one));
process.stdout.write(JSON.stringify(outcomes));
