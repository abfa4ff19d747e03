"""HTML pages /sign-in and /invitation, with inline scripts allowed by their hash in the Content-Security-Policy.

The token of an invitation or a sign-in link is in the fragment, so it appears in no log and no Referer.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from html import escape

from sizewise.app.application import Application
from sizewise.auth.browser_security import check_host
from sizewise.auth.users.passwords import MAX_LENGTH, MIN_LENGTH
from sizewise.gateway.request_head import RequestHead
from sizewise.gateway.response_writer import ResponseWriter

STYLE = """
:root{color-scheme:light dark;font:16px/1.5 system-ui,sans-serif;
--line:#8886;--soft:#8881;--lead:#2563eb;--wrong:#c2410c}
@media(prefers-color-scheme:dark){:root{--lead:#93b4ff;--wrong:#fdba74}}
body{min-height:100vh;margin:0;display:grid;place-items:center}
main{width:min(22rem,calc(100vw - 3rem));padding:2rem 0 12vh}
h1{font-size:1.6rem;font-weight:600;letter-spacing:-.02em;margin:0}
p{margin:.3rem 0 1.6rem;opacity:.75}
label{display:block;font-size:.85rem;margin:0 0 1rem}
input{display:block;width:100%;box-sizing:border-box;margin-top:.3rem;padding:.6rem .75rem;font:inherit;
color:inherit;background:var(--soft);border:1px solid var(--line);border-radius:.5rem}
input:focus-visible,button:focus-visible,a:focus-visible{outline:2px solid var(--lead);outline-offset:2px}
button,a.by{display:block;width:100%;box-sizing:border-box;padding:.65rem;font:inherit;font-weight:600;text-align:center;
text-decoration:none;color:#fff;background:#2563eb;border:1px solid #2563eb;border-radius:.5rem;cursor:pointer}
button:disabled{opacity:.6;cursor:progress}
a.by{margin-top:.6rem;color:inherit;background:none;border-color:var(--line)}
hr{border:0;border-top:1px solid var(--line);margin:1.5rem 0 1rem}
output{display:block;min-height:1.5rem;margin:.8rem 0 0;color:var(--wrong);font-size:.9rem}
small{opacity:.7}
fieldset{border:0;margin:0;padding:0}
"""
SCRIPT = """
const form=document.forms[0],codes=form.querySelector('fieldset');
const said=document.querySelector('output'),button=form.querySelector('button');
const token=location.hash.slice(1),hash=new URLSearchParams(token),link=hash.get('link');
if(form.dataset.to==='/auth/invitation'){
history.replaceState(null,'',location.pathname);
if(!token){said.textContent='This link is incomplete: open the link from your invitation.';button.disabled=true}}
async function send(to,sent,after){
button.disabled=true;said.textContent='';
try{
const answer=await fetch(to,{method:'POST',headers:{'content-type':'application/json'},body:JSON.stringify(sent)});
if(answer.ok){location.assign(after);return}
const {error}=await answer.json();
if(error.code==='second_factor_required'&&codes.hidden){
codes.hidden=false;button.disabled=false;codes.querySelector('input').focus();return}
said.textContent=error.message+(error.hint?'; '+error.hint:'')+'.';
}catch(fault){said.textContent='The server did not respond. Try again.'}
button.disabled=false;
}
form.addEventListener('submit',event=>{
event.preventDefault();
const sent=Object.fromEntries([...new FormData(form)].filter(([name,value])=>value||!name.endsWith('code')));
if(form.dataset.to==='/auth/invitation')sent.token=token;
send(form.dataset.to,sent,form.dataset.after);
});
if(link&&form.dataset.to==='/auth/sign-in'){
history.replaceState(null,'',location.pathname);
const to=hash.get('to')||'';
send('/auth/link/redeem',{token:link},/^[/](?![/])[A-Za-z0-9._~/-]*$/.test(to)?to:form.dataset.after);
}
"""
PAGE_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="referrer" content="no-referrer"><title>{title} · Sizewise</title>
<style>{style}</style></head><body><main>
<h1>{title}</h1><p>{lead}</p>
<form data-to="{to}" data-after="{after}">
{fields}
<button>{verb}</button><output role="alert"></output>
<noscript><output>This page needs JavaScript.</output></noscript>
</form>{more}
</main><script>{script}</script></body></html>
"""
EMAIL_FIELD = (
    '<label>Email<input name="email" type="email" autocomplete="username" required autofocus maxlength="254"></label>'
)
NAME_FIELD = '<label>Your name<input name="name" autocomplete="name" maxlength="100" autofocus></label>'
CURRENT_PASSWORD_FIELD = (
    '<label>Password<input name="password" type="password" autocomplete="current-password" required></label>'
)
NEW_PASSWORD_FIELD = (
    '<label>Password<input name="password" type="password" autocomplete="new-password" required'
    f' minlength="{MIN_LENGTH}" maxlength="{MAX_LENGTH}"><small>{MIN_LENGTH} characters or more, such as a'
    " few words</small></label>"
)
CODE_FIELDS = (
    '<fieldset hidden><label>Code of your authenticator app<input name="code" inputmode="numeric"'
    ' autocomplete="one-time-code" maxlength="40"></label><label>or a recovery code<input name="recovery_code"'
    ' autocomplete="off" maxlength="40"></label></fieldset>'
)
HTML_CONTENT_TYPE = (b"content-type", b"text/html; charset=utf-8")


def _csp_hash(text: str) -> str:
    return "'sha256-" + b64encode(sha256(text.encode()).digest()).decode() + "'"


CONTENT_SECURITY_POLICY: tuple[bytes, bytes] = (
    b"content-security-policy",
    (
        f"default-src 'none'; style-src {_csp_hash(STYLE)}; script-src {_csp_hash(SCRIPT)}; connect-src 'self'; "
        "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
    ).encode(),
)
SECURITY_HEADERS = (
    HTML_CONTENT_TYPE,
    CONTENT_SECURITY_POLICY,
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
)


MESSAGE_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="referrer" content="no-referrer">{head}<title>{title} · Sizewise</title>
<style>{style}</style></head><body><main>
<h1>{title}</h1><p>{lead}</p><a class="by" href="{link}">Continue</a>
</main></body></html>
"""


def message_page(title: str, lead: str, link: str, head: str = "") -> bytes:
    """A page with one message; `head` is trusted markup."""
    shown = {"title": escape(title), "lead": escape(lead), "link": escape(link), "head": head, "style": STYLE}
    return MESSAGE_TEMPLATE.format(**shown).encode()


async def sign_in_page(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    check_host(head.host, app.allowed_hosts)
    ways = "".join(
        f'<a class="by" href="/auth/oidc/{escape(name)}">Sign in with {escape(row.title or name)}</a>'
        for name, row in app.settings.oidc.items()
    )
    page = PAGE_TEMPLATE.format(
        title="Sign in",
        lead="Use the account that you created with your invitation.",
        to="/auth/sign-in",
        after=escape(app.settings.login_sessions.redirect_path),
        fields=EMAIL_FIELD + CURRENT_PASSWORD_FIELD + CODE_FIELDS,
        verb="Sign in",
        more=f"<hr>{ways}" if ways else "",
        style=STYLE,
        script=SCRIPT,
    )
    await writer.send_response(200, [*SECURITY_HEADERS], page.encode())


async def invitation_page(app: Application, head: RequestHead, body: bytes, writer: ResponseWriter) -> None:
    check_host(head.host, app.allowed_hosts)
    page = PAGE_TEMPLATE.format(
        title="Welcome",
        lead="Choose a password to create your account, or to replace your old password.",
        to="/auth/invitation",
        after=escape(app.settings.login_sessions.redirect_path),
        fields=NAME_FIELD + NEW_PASSWORD_FIELD + CODE_FIELDS,
        verb="Continue",
        more="",
        style=STYLE,
        script=SCRIPT,
    )
    await writer.send_response(200, [*SECURITY_HEADERS], page.encode())
