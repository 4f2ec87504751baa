// A person at a browser, and the application that sends them to log in: the authorization-code flow of OpenID Connect with
// PKCE (RFC 7636). Prints the access token.
import crypto from 'node:crypto';

const { ISSUER, ACCOUNT, PASSWORD, OTP } = process.env;
const CALLBACK = 'https://bedside.example/callback';
const cookies = new Map();

async function visit(url, form) {
  const response = await fetch(url, {
    method: form ? 'POST' : 'GET', body: form && new URLSearchParams(form), redirect: 'manual',
    headers: { cookie: [...cookies].map((pair) => pair.join('=')).join('; ') },
  });
  for (const cookie of response.headers.getSetCookie()) {
    const [, name, value] = cookie.match(/^([^=]+)=([^;]*)/);
    if (value) cookies.set(name, value); else cookies.delete(name);
  }
  return response;
}

const about = await (await fetch(`${ISSUER}/.well-known/openid-configuration`)).json();
const verifier = crypto.randomBytes(32).toString('base64url');
const state = crypto.randomUUID();
const application = { client_id: 'bedside', redirect_uri: CALLBACK, resource: 'https://nephron.example' };
let place = new URL(about.authorization_endpoint);
place.search = new URLSearchParams({
  ...application, response_type: 'code', scope: 'openid', state, code_challenge_method: 'S256',
  code_challenge: crypto.createHash('sha256').update(verifier).digest('base64url'),
});
while (!place.href.startsWith(CALLBACK)) {
  let response = await visit(place);
  if (response.status === 200) {
    const [, action] = (await response.text()).match(/<form method="post" action="([^"]+)">/);
    response = await visit(new URL(action, place), { account: ACCOUNT, password: PASSWORD, otp: OTP ?? '' });
  }
  const next = response.headers.get('location');
  if (!next) throw new Error(`${response.status} at ${place}: ${await response.text()}`);
  place = new URL(next, place);
}
const code = place.searchParams.get('code');
if (!code || place.searchParams.get('state') !== state) throw new Error(`no code: ${place}`);
const exchange = { ...application, grant_type: 'authorization_code', code, code_verifier: verifier };
const answer = await (await visit(about.token_endpoint, exchange)).json();
if (!answer.access_token) throw new Error(JSON.stringify(answer));
console.log(answer.access_token);
