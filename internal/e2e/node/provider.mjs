// An OAuth2 provider that others wrote, as strict as it can be: PKCE, resource indicators, revocation, iss, refresh tokens that change with each use and end the grant when one is used twice, and access
// tokens that live for seconds. What it is told comes from the environment:
//
//   PORT      on localhost
//   ISSUER    path of the issuer, such as /tenant; empty: none
//   TTL       seconds that an access token lives
//   CLIENTS   a JSON list of clients; without one, clients register themselves
//   DOCUMENTS where https documents of clients are really fetched from; without it, clients have none
//
// Who signs in is asked by a page with the field "login" and the button "allow". GET /counts says how often each endpoint was asked.
import { createServer } from 'node:http';
import { Provider } from 'oidc-provider';

const { PORT, ISSUER = '', TTL = '3', CLIENTS, DOCUMENTS } = process.env;
const issuer = `http://localhost:${PORT}${ISSUER}`;
const counts = {};

const configuration = {
  clients: [
    // the MCP server, which looks at the tokens that it is sent
    { client_id: 'upstream', client_secret: 'upstream-secret', redirect_uris: [], response_types: [], grant_types: [], token_endpoint_auth_method: 'client_secret_basic' },
    ...JSON.parse(CLIENTS ?? '[]'),
  ],
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: CLIENTS === undefined },
    revocation: { enabled: true },
    introspection: { enabled: true },
    clientIdMetadataDocument: { enabled: DOCUMENTS !== undefined, ack: 'draft-02' },
    resourceIndicators: {
      enabled: true,
      useGrantedResource: () => true,
      getResourceServerInfo: (_ctx, resource) => ({ scope: 'read write', audience: resource, accessTokenTTL: Number(TTL), accessTokenFormat: 'opaque' }),
    },
  },
  scopes: ['openid', 'offline_access', 'read', 'write'],
  pkce: { required: () => true },
  rotateRefreshToken: true,
  issueRefreshToken: () => true,
  expiresWithSession: () => false,
  interactions: { url: (_ctx, interaction) => `${ISSUER}/interaction/${interaction.uid}` },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  cookies: { keys: ['a key for cookies'] },
  fetch: (url, options) => {
    const target = new URL(url);
    return DOCUMENTS && target.protocol === 'https:' ? fetch(DOCUMENTS, { redirect: 'error' }) : fetch(target, options);
  },
};

const provider = new Provider(issuer, configuration);
if (CLIENTS !== undefined) {
  // the sidecar has a redirect URI for each server, and a client that an admin has is told of them one by one
  provider.Client.prototype.redirectUriAllowed = (uri) => /^http:\/\/127\.0\.0\.1:\d+\/api\/experimental\/mcp\/servers\/[0-9a-f-]{36}\/oauth2\/callback$/.test(uri);
}
const answer = provider.callback();

async function interaction(req, res) {
  const { uid, params } = await provider.interactionDetails(req, res);
  if (req.method !== 'POST') {
    res.setHeader('Content-Type', 'text/html');
    res.end(`<!doctype html><title>Sign in</title><form method="post" action="${ISSUER}/interaction/${uid}"><input name="login" value="someone"><button id="allow" name="do" value="allow">Allow</button><button id="deny" name="do" value="deny">Deny</button></form>`);
    return;
  }
  let body = '';
  for await (const chunk of req) body += chunk;
  const form = new URLSearchParams(body);
  if (form.get('do') === 'deny') {
    await provider.interactionFinished(req, res, { error: 'access_denied' }, { mergeWithLastSubmission: false });
    return;
  }
  const accountId = form.get('login') || 'someone';
  const grant = new provider.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope('openid offline_access read write');
  for (const resource of [params.resource].flat().filter(Boolean)) grant.addResourceScope(resource, 'read write');
  await provider.interactionFinished(req, res, { login: { accountId }, consent: { grantId: await grant.save() } }, { mergeWithLastSubmission: false });
}

createServer((req, res) => {
  const path = req.url.split('?')[0];
  counts[path] = (counts[path] ?? 0) + 1;
  if (path === '/counts') {
    res.end(JSON.stringify(counts));
    return;
  }
  if (path.startsWith(`${ISSUER}/interaction/`)) {
    interaction(req, res).catch((error) => {
      res.statusCode = 500;
      res.end(String(error));
    });
    return;
  }
  // the well-known places of an issuer with a path: inserted before it, or appended to it
  const known = path.match(/^\/\.well-known\/oauth-authorization-server(.*)$/);
  if (ISSUER && known) {
    if (known[1] !== ISSUER) {
      res.statusCode = 404;
      res.end();
      return;
    }
    req.url = '/.well-known/oauth-authorization-server';
    req.originalUrl = ISSUER + req.url;
    answer(req, res);
    return;
  }
  if (!path.startsWith(ISSUER)) {
    res.statusCode = 404;
    res.end();
    return;
  }
  if (ISSUER) {
    req.originalUrl = req.url;
    req.baseUrl = ISSUER;
    req.url = req.url.slice(ISSUER.length);
  }
  answer(req, res);
}).listen(Number(PORT), '127.0.0.1');
