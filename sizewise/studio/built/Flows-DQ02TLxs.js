const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=["Flow-DAFtSfW-.js","vendor-CsC6NDrB.js","kit-CNcMDX-O.js","kit-1P9YaW7l.css","answering-DUWhF6F5.js","editor-CfhnK1FE.js","canvas-3Xhio71m.js","canvas-CwWSFoIj.css","queries-f5gq6JG6.js","Flow-w44ffMlF.css"])))=>i.map(i=>d[i]);
import{At as e,B as t,Dt as n,Et as r,F as i,Ht as a,I as o,J as s,Lt as c,Mt as l,Nt as u,Ot as d,Rt as f,St as p,V as m,Y as h,ct as g,gt as _,ht as v,it as y,jt as b,k as x,kt as S,lt as C,mt as w,nt as T,ot as E,tt as D,ut as O,vt as k}from"./vendor-CsC6NDrB.js";import{D as A,J as j,N as M,U as N,X as P,Z as F,it as I,q as L,rt as R,tt as z}from"./kit-CNcMDX-O.js";import{i as B,t as V,y as H}from"./answering-DUWhF6F5.js";import{a as ee,c as U,i as W,o as G,s as te}from"./queries-f5gq6JG6.js";import{t as K}from"./index-BpK0vRkr.js";var q=O(`<p class="note">Reading …</p>`),J=O(`<p class="bad"> </p>`),Y=O(`<li><strong class="svelte-1dholx4"> </strong> </li>`),X=O(`<button class="button" type="button">Open as a draft</button>`),ne=O(`<section class="svelte-1dholx4"><h3> <span class="note"> </span></h3> <!> <ul></ul> <!></section>`),Z=O(`<div><p class="row"><span class="note">Or drop a flow file, a Lamatic file or the zip of a kit here, or</span> <label class="button svelte-1dholx4">Choose a file <input class="unseen" type="file" accept=".yaml,.yml,.ts,.json,.zip"/></label></p> <!> <!> <!></div>`);function re(e,t){f(t,!0);let n=l(!1),i=l(!1),o=l(null),u=l([]);async function x(e){b(n,!1);let t=e?.[0];if(t){b(o,null),b(u,[]),b(i,!0);try{if(/\.ya?ml$/.test(t.name)&&C(await t.text()))return;b(u,(await L(G,{name:t.name,content:await w(t)})).lamaticFlows)}catch(e){b(o,I(e))}finally{b(i,!1)}}}function C(e){let n=H(e).data;return typeof n?.name!=`string`||n.nodes===null||typeof n.nodes!=`object`||Array.isArray(n.nodes)?!1:(t.make(String(n.name),e),!0)}function w(e){return new Promise((t,n)=>{let r=new FileReader;r.onload=()=>t(String(r.result).replace(/^[^,]*,/,``)),r.onerror=()=>n(Error(`The file cannot be read.`)),r.readAsDataURL(e)})}var O=Z();let A;var j=r(O),M=S(r(j),2),N=S(r(M));a(M),a(j);var F=S(j,2),R=e=>{var t=q();g(e,t)};y(F,e=>{k(i)&&e(R)});var z=S(F,2),B=e=>{P(e,{get failure(){return k(o)}})};y(z,e=>{k(o)&&e(B)});var V=S(z,2);D(V,17,()=>k(u),e=>e.name,(e,n)=>{var i=ne(),o=r(i),c=r(o),l=S(c),u=d(l);a(o);var f=S(o,2),_=e=>{var t=J(),r=d(t,!0);p(()=>E(r,k(n).error)),g(e,t)};y(f,e=>{k(n).error&&e(_)});var b=S(f,2);D(b,21,()=>k(n).notes.filter(e=>e.grade!==`imported`),T,(e,t)=>{var n=Y(),i=r(n),o=d(i,!0),c=S(i);a(n),p(()=>{s(n,1,h(k(t).grade),`svelte-1dholx4`),E(o,k(t).node||`the flow`),E(c,` ${k(t).grade===`named`?`is not translated: `:``}${k(t).message??``}
            ${k(t).hint??``}`)}),g(e,n)}),a(b);var x=S(b,2),C=e=>{var r=X();v(`click`,r,()=>t.make(k(n).name,k(n).text)),g(e,r)};y(x,e=>{k(n).text&&e(C)}),a(i),p(()=>{m(i,`aria-label`,k(n).name),E(c,`${k(n).name??``} `),E(u,`from ${k(n).file??``}`)}),g(e,i)}),a(O),p(()=>A=s(O,1,`drop svelte-1dholx4`,null,A,{over:k(n)})),_(`dragover`,O,e=>{e.preventDefault(),b(n,!0)}),_(`dragleave`,O,()=>b(n,!1)),_(`drop`,O,e=>{e.preventDefault(),x(e.dataTransfer?.files)}),v(`change`,N,e=>void x(e.currentTarget.files)),g(e,O),c()}w([`change`,`click`]);var Q=Object.assign({"./templates/answer_with_citations.yaml":`name: answer_with_citations
description: Answers from a knowledge base alone, and says from where.

inputs:
  question: text

nodes:
  find:
    kind: search
    knowledge: handbook
    query: '{{ inputs.question }}'
    limit: 4

  # Only what a passage says leaves this node; where no passage answers, it says so.
  answer:
    kind: grounded
    model: auto
    question: '{{ inputs.question }}'
    passages: '{{ find.passages }}'

outputs:
  answer: '{{ answer.text }}'
  sources: '{{ answer.sources }}'
`,"./templates/approve_before_sending.yaml":`name: approve_before_sending
description: Drafts an answer; a person decides in the inbox whether it is sent.

inputs:
  message: text

nodes:
  draft:
    kind: ask
    model: auto
    system: Write a short, friendly answer.
    prompt: '{{ inputs.message }}'

  decision:
    kind: approve
    question: Send this answer?
    show: '{{ draft.text }}'

  way:
    kind: branch
    cases:
      sent: '{{ decision.approved }}'

  answer:
    kind: template
    after: way.sent
    text: '{{ draft.text }}'

outputs:
  answer: "{{ answer.text | default('') }}"
`,"./templates/blank.yaml":`name: blank
description: Answers a question briefly.

inputs:
  question: text

nodes:
  answer:
    kind: ask
    model: auto
    system: Answer in two sentences at most.
    prompt: '{{ inputs.question }}'

outputs:
  answer: '{{ answer.text }}'
`,"./templates/classify_and_route.yaml":`name: classify_and_route
description: Sorts what people write, and answers each sort in its own way.

inputs:
  message: text

nodes:
  sort:
    kind: classify
    model: small
    text: '{{ inputs.message }}'
    labels: { refund: the person wants money back, question: the person wants to know something, other: anything else }

  route:
    kind: branch
    value: '{{ sort.label }}'
    cases: [refund, question]

  hand_over:
    kind: template
    after: route.refund
    text: Thank you. A person of our team will look at your refund.

  answer:
    kind: ask
    after: route.question
    model: auto
    prompt: '{{ inputs.message }}'

  ask_back:
    kind: template
    after: route.else
    text: Please say in one sentence what we can do for you.

outputs:
  answer: '{{ hand_over.text or answer.text or ask_back.text }}'
`,"./templates/each_over_a_list.yaml":`name: each_over_a_list
description: Summarizes each text of a list, then all of them in one.

inputs:
  texts: { list: text }

nodes:
  every:
    kind: each
    items: '{{ inputs.texts }}'
    at_once: 4
    nodes:
      summary:
        kind: ask
        model: small
        prompt: 'Summarize in one sentence: {{ item }}'
    outputs: '{{ summary.text }}'

  together:
    kind: ask
    model: auto
    prompt: |-
      Write one paragraph of these sentences:
      {{ every.results | join("\\n") }}

outputs:
  summary: '{{ together.text }}'
`,"./templates/small_then_large.yaml":`name: small_then_large
description: A small model answers; where it says that it is not sure, the large one does.

inputs:
  question: text

nodes:
  small_answer:
    kind: ask
    model: small
    system: Answer in two sentences at most.
    prompt: '{{ inputs.question }}'

  # A second look, limited to two words: cheap, and never free text.
  sure:
    kind: classify
    model: small
    text: 'Question: {{ inputs.question }} Answer: {{ small_answer.text }}'
    labels: { good: the answer is right and complete, doubtful: the answer may be wrong }

  way:
    kind: branch
    value: '{{ sure.label }}'
    cases: [doubtful]

  large_answer:
    kind: ask
    after: way.doubtful
    model: large
    system: Answer in two sentences at most.
    prompt: '{{ inputs.question }}'

outputs:
  answer: '{{ large_answer.text or small_answer.text }}'
`}),ie=[[`small_then_large`,`Small, then large`,`A small model answers; a large one takes over where it is not sure.`],[`answer_with_citations`,`Answer with citations`,`Finds passages in a knowledge base, and answers from them alone.`],[`classify_and_route`,`Classify and route`,`A small model sorts, and each sort goes its own way.`],[`each_over_a_list`,`Each of a list`,`The same for each item of a list, several at a time.`],[`approve_before_sending`,`Approve before sending`,`A draft waits in the inbox until a person agrees.`],[`blank`,`Blank`,`One question to one model.`]].map(([e,t,n])=>({name:e,title:t,says:n}));function ae(e,t,n=`handbook`){return(Q[`./templates/${e}.yaml`]??``).replace(/^name: .*$/m,`name: ${t}`).replace(/^( +knowledge: ).*$/gm,`$1${n}`)}var oe=O(`<label><input type="radio" name="template"/> <span><strong> </strong><br/> </span></label>`),se=O(`<div class="row"><button class="button" type="button"> </button></div>`),ce=O(`<form class="sheet new svelte-d9uz0v" aria-labelledby="new-title"><h2 id="new-title">New flow</h2> <label class="name svelte-d9uz0v">Name <input maxlength="63" spellcheck="false" placeholder="support"/></label> <fieldset class="svelte-d9uz0v"><legend class="svelte-d9uz0v">Begin with</legend> <!></fieldset> <!> <!> <div class="row"><button class="button lead" type="submit">Make a draft</button> <button class="button" type="button">From words …</button></div> <!></form>`);function $(n,m){f(m,!0);let h=[],C=x(m,`base`,3,``),w=new N(e=>L(te,{},e));w.run();let T=l(``),O=l(e(C()?`answer_with_citations`:ie[0]?.name??``)),A=l(null),M=l(!1);async function F(e,t,n=``){if(b(A,z(e)),!k(A)){b(M,!0);try{await L(ee,{name:e,text:t,expectedSaved:0}),j.go(`/flows/${encodeURIComponent(e)}${n}`)}catch(e){b(A,I(e))}b(M,!1)}}function z(e){return e===``?new R(`The flow needs a name.`,`It is how programs ask it, as flow:support.`):B.test(e)?m.taken.includes(e)?new R(`There is a flow ${e} already.`,`Choose another name, or open it.`):null:new R(`${e} cannot be its name.`,`A letter, then letters, digits, _ and -: no spaces.`)}let V=u(()=>{let e=k(T).trim().replace(/[^A-Za-z0-9_-]+/g,`_`).replace(/^[^A-Za-z]+|_+$/g,``).toLowerCase();return B.test(k(T))||!B.test(e)||m.taken.includes(e)?``:e}),H=e=>ae(e,k(T),C()||w.data?.flowNames.knowledge[0]);var U=ce(),W=S(r(U),2),G=S(r(W));t(G),a(W);var K=S(W,2),q=S(r(K),2);D(q,17,()=>ie,e=>e.name,(e,n)=>{var o=oe();let c;var l=r(o);t(l);var u,f=S(l,2),m=r(f),_=d(m,!0),v=S(m,2,!0);a(f),a(o),p(()=>{c=s(o,1,`template svelte-d9uz0v`,null,c,{chosen:k(O)===k(n).name}),u!==(u=k(n).name)&&(l.value=(l.__value=u)??``),E(_,k(n).title),E(v,k(n).says)}),i(h,[],l,()=>(k(n).name,k(O)),e=>b(O,e)),g(e,o)}),a(K);var J=S(K,2),Y=e=>{P(e,{get failure(){return k(A)}})};y(J,e=>{k(A)&&e(Y)});var X=S(J,2),ne=e=>{var t=se(),n=r(t),i=d(n);a(t),p(()=>E(i,`Use ${k(V)??``}`)),v(`click`,n,()=>{b(T,k(V),!0),b(A,null)}),g(e,t)};y(X,e=>{k(A)&&k(V)&&e(ne)});var Z=S(X,2),Q=r(Z),$=S(Q,2);a(Z),re(S(Z,2),{make:(e,t)=>F(e,t)}),a(U),p(()=>{Q.disabled=k(M),$.disabled=k(M)}),_(`submit`,U,e=>{e.preventDefault(),F(k(T),H(k(O)),k(O)===`blank`?``:`?view=try`)}),o(G,()=>k(T),e=>b(T,e)),v(`click`,$,()=>F(k(T),H(`blank`),`?view=words`)),g(n,U),c()}w([`click`]);var le=O(`<button class="button lead" type="button">New flow</button>`),ue=O(`<li class="sheet svelte-1y05d42"><h2><a class="svelte-1y05d42"> </a></h2> <p>Your draft, not published yet.</p> <p class="note"> </p></li>`),de=O(`<p class="draft svelte-1y05d42">You have a draft of it.</p>`),fe=O(`<p class="bad"> </p>`),pe=O(`<p class="note"> </p>`),me=O(`<li class="sheet svelte-1y05d42"><h2><a class="svelte-1y05d42"> </a></h2> <p> </p> <!> <!> <p class="note"> </p> <!></li>`),he=O(`<ul class="cards svelte-1y05d42"><!> <!></ul>`),ge=O(`<p class="note">Loading flows …</p>`),_e=O(`<!> <!> <!>`,1);function ve(t,i){f(i,!0);let o=z.may([`manage_flows`]),s=new N(e=>L(U,{},e));s.run().then(()=>K(()=>import(`./Flow-DAFtSfW-.js`),__vite__mapDeps([0,1,2,3,4,5,6,7,8,9])));let h=new N(e=>L(W,{},e));o&&h.run();let _=j.query.get(`knowledge`)??``,x=l(e(o&&_!==``)),w=u(()=>s.data?.flows.map(e=>e.name)??[]),T=u(()=>h.data?.flowDrafts.filter(e=>e.mine)??[]),O=u(()=>k(T).filter(e=>!k(w).includes(e.name))),I=e=>k(T).some(t=>t.name===e);M(t,{title:`Flows`,lead:`Programs ask a published flow as the model flow:NAME. It is a tool for agents and a field of /graphql too.`,actions:e=>{var t=C(),r=n(t),i=e=>{var t=le();p(()=>m(t,`aria-expanded`,k(x))),v(`click`,t,()=>b(x,!k(x))),g(e,t)};y(r,e=>{o&&e(i)}),g(e,t)},children:(e,t)=>{var i=_e(),o=n(i),c=e=>{{let t=u(()=>[...k(w),...k(O).map(e=>e.name)]);$(e,{get base(){return _},get taken(){return k(t)}})}};y(o,e=>{k(x)&&e(c)});var l=S(o,2),f=e=>{P(e,{get failure(){return s.failure},retry:()=>s.run()})};y(l,e=>{s.failure&&e(f)});var h=S(l,2),v=e=>{var t=C(),r=n(t),i=e=>{F(e,{title:`No flow yet`,text:`Begin with a template, or write in words what it shall do. A YAML file in the folder flows/ is live within a second.`})};y(r,e=>{k(x)||e(i)}),g(e,t)},b=e=>{var t=he(),n=r(t);D(n,17,()=>k(O),e=>e.name,(e,t)=>{var n=ue(),i=r(n),o=r(i),s=d(o,!0);a(i);var c=S(i,4),l=d(c);a(n),p((e,n)=>{m(o,`href`,`/flows/${e??``}`),E(s,k(t).name),E(l,`saved ${n??``}`)},[()=>encodeURIComponent(k(t).name),()=>A(k(t).saved)]),g(e,n)});var i=S(n,2);D(i,17,()=>s.data.flows,e=>e.name,(e,t)=>{var n=me(),i=r(n),o=r(i),c=d(o,!0);a(i);var l=S(i,2),f=d(l,!0),h=S(l,2),_=e=>{var t=de();g(e,t)},v=u(()=>I(k(t).name));y(h,e=>{k(v)&&e(_)});var b=S(h,2),x=e=>{var n=fe(),r=d(n);p(()=>E(r,`× ${k(t).error??``}`)),g(e,n)};y(b,e=>{k(t).error&&e(x)});var C=S(b,2),w=d(C),T=S(C,2);D(T,16,()=>V(s.data.flowsByEnvironment,k(t).name),e=>e,(e,t)=>{var n=pe(),r=d(n,!0);p(()=>E(r,t)),g(e,n)}),a(n),p((e,n,r)=>{m(o,`href`,`/flows/${e??``}`),E(c,k(t).name),E(f,k(t).description||`No description.`),E(w,`version ${n??``} · published ${r??``} · ${k(t).sideEffects?`acts outside`:`changes nothing outside`}`)},[()=>encodeURIComponent(k(t).name),()=>k(t).version.slice(0,8),()=>A(k(t).published)]),g(e,n)}),a(t),g(e,t)},T=e=>{var t=ge();g(e,t)};y(h,e=>{s.data&&s.data.flows.length===0&&k(O).length===0?e(v):s.data?e(b,1):s.failure||e(T,2)}),g(e,i)},$$slots:{actions:!0,default:!0}}),c()}w([`click`]);export{ve as default};