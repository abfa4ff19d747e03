const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=["Flow-CcFwC7LO.js","vendor-DcJ2WvKM.js","kit-auDOOCkq.js","kit-Bbgz2WsA.css","flow-BjNsJmR7.js","editor-CfhnK1FE.js","canvas-CJCYi-BD.js","canvas-CwWSFoIj.css","queries-B_NV0Iow.js","Flow-CsHxy-vy.css"])))=>i.map(i=>d[i]);
import{At as e,B as t,Dt as n,Et as r,F as i,It as a,J as o,Lt as s,Mt as c,O as l,Ot as u,P as d,Tt as f,Vt as p,_t as m,at as h,ct as g,et as _,ht as v,jt as y,kt as b,lt as x,mt as S,pt as C,q as w,rt as T,st as E,tt as D,xt as O,z as k}from"./vendor-DcJ2WvKM.js";import{G as A,J as j,K as M,O as N,S as P,U as F,W as I,k as L,q as R,z}from"./kit-auDOOCkq.js";import{g as B,t as V}from"./flow-BjNsJmR7.js";import{a as H,c as U,i as W,o as G,s as ee}from"./queries-B_NV0Iow.js";import{t as K}from"./index-IKxBK_xx.js";var q=x(`<p class="note">Reading …</p>`),J=x(`<p class="bad"> </p>`),Y=x(`<li><strong class="svelte-1dholx4"> </strong> </li>`),te=x(`<button class="button" type="button">Open as a draft</button>`),X=x(`<section class="svelte-1dholx4"><h3> <span class="note"> </span></h3> <!> <ul></ul> <!></section>`),ne=x(`<div><p class="row"><span class="note">Or drop a flow file, a Lamatic file or the zip of a kit here, or</span> <label class="button svelte-1dholx4">Choose a file <input class="unseen" type="file" accept=".yaml,.yml,.ts,.json,.zip"/></label></p> <!> <!> <!></div>`);function re(r,i){s(i,!0);let c=y(!1),l=y(!1),d=y(null),g=y([]);async function b(t){e(c,!1);let n=t?.[0];if(n){e(d,null),e(g,[]),e(l,!0);try{if(/\.ya?ml$/.test(n.name)&&x(await n.text()))return;e(g,(await F(G,{name:n.name,content:await C(n)})).lamaticFlows)}catch(t){e(d,j(t))}finally{e(l,!1)}}}function x(e){let t=B(e).data;return typeof t?.name!=`string`||t.nodes===null||typeof t.nodes!=`object`||Array.isArray(t.nodes)?!1:(i.make(String(t.name),e),!0)}function C(e){return new Promise((t,n)=>{let r=new FileReader;r.onload=()=>t(String(r.result).replace(/^[^,]*,/,``)),r.onerror=()=>n(Error(`The file cannot be read.`)),r.readAsDataURL(e)})}var k=ne();let A;var M=f(k),N=u(f(M),2),P=u(f(N));p(N),p(M);var I=u(M,2),R=e=>{var t=q();E(e,t)};T(I,e=>{m(l)&&e(R)});var z=u(I,2),V=e=>{L(e,{get failure(){return m(d)}})};T(z,e=>{m(d)&&e(V)});var H=u(z,2);_(H,17,()=>m(g),e=>e.name,(e,r)=>{var a=X(),s=f(a),c=f(s),l=u(c),d=n(l);p(s);var g=u(s,2),v=e=>{var t=J(),i=n(t,!0);O(()=>h(i,m(r).error)),E(e,t)};T(g,e=>{m(r).error&&e(v)});var y=u(g,2);_(y,21,()=>m(r).notes.filter(e=>e.grade!==`imported`),D,(e,t)=>{var r=Y(),i=f(r),a=n(i,!0),s=u(i);p(r),O(()=>{w(r,1,o(m(t).grade),`svelte-1dholx4`),h(a,m(t).node||`the flow`),h(s,` ${m(t).grade===`named`?`is not translated: `:``}${m(t).message??``}
            ${m(t).hint??``}`)}),E(e,r)}),p(y);var b=u(y,2),x=e=>{var t=te();S(`click`,t,()=>i.make(m(r).name,m(r).text)),E(e,t)};T(b,e=>{m(r).text&&e(x)}),p(a),O(()=>{t(a,`aria-label`,m(r).name),h(c,`${m(r).name??``} `),h(d,`from ${m(r).file??``}`)}),E(e,a)}),p(k),O(()=>A=w(k,1,`drop svelte-1dholx4`,null,A,{over:m(c)})),v(`dragover`,k,t=>{t.preventDefault(),e(c,!0)}),v(`dragleave`,k,()=>e(c,!1)),v(`drop`,k,e=>{e.preventDefault(),b(e.dataTransfer?.files)}),S(`change`,P,e=>void b(e.currentTarget.files)),E(r,k),a()}C([`change`,`click`]);var Z=Object.assign({"./templates/answer_with_citations.yaml":`name: answer_with_citations
description: Answers from a knowledge base alone, and says from where.

inputs:
  question: text

nodes:
  find:
    kind: search
    knowledge: handbook
    query: '{{ inputs.question }}'
    limit: 4

  answer:
    kind: ask
    model: auto
    system: >-
      Answer the question in one or two sentences, from the passages alone. End each sentence with the number of its
      passage, as in [1]. If the passages do not tell, say that you do not know.
    prompt: |-
      {{ find.passages | passages }}

      Question: {{ inputs.question }}

outputs:
  answer: '{{ answer.text }}'
  passages: '{{ find.passages }}'
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
`}),ie=[[`small_then_large`,`Small, then large`,`A small model answers; a large one takes over where it is not sure.`],[`answer_with_citations`,`Answer with citations`,`Finds passages in a knowledge base, and answers from them alone.`],[`classify_and_route`,`Classify and route`,`A small model sorts, and each sort goes its own way.`],[`each_over_a_list`,`Each of a list`,`The same for each item of a list, several at a time.`],[`approve_before_sending`,`Approve before sending`,`A draft waits in the inbox until a person agrees.`],[`blank`,`Blank`,`One question to one model.`]].map(([e,t,n])=>({name:e,title:t,says:n}));function ae(e,t,n=`handbook`){return(Z[`./templates/${e}.yaml`]??``).replace(/^name: .*$/m,`name: ${t}`).replace(/^( +knowledge: ).*$/gm,`$1${n}`)}var oe=x(`<label><input type="radio" name="template"/> <span><strong> </strong><br/> </span></label>`),se=x(`<div class="row"><button class="button" type="button"> </button></div>`),ce=x(`<form class="sheet new svelte-d9uz0v" aria-labelledby="new-title"><h2 id="new-title">New flow</h2> <label class="name svelte-d9uz0v">Name <input maxlength="63" spellcheck="false" placeholder="support"/></label> <fieldset class="svelte-d9uz0v"><legend class="svelte-d9uz0v">Begin with</legend> <!></fieldset> <!> <!> <div class="row"><button class="button lead" type="submit">Make a draft</button> <button class="button" type="button">From words …</button></div> <!></form>`);function Q(t,r){s(r,!0);let o=[],g=l(r,`base`,3,``),x=new z(e=>F(ee,{},e));x.run();let C=y(``),D=y(b(g()?`answer_with_citations`:ie[0]?.name??``)),A=y(null),M=y(!1);async function N(t,n,r=``){if(e(A,P(t)),!m(A)){e(M,!0);try{await F(H,{name:t,text:n,expectedSaved:0}),I.go(`/flows/${encodeURIComponent(t)}${r}`)}catch(t){e(A,j(t))}e(M,!1)}}function P(e){return e===``?new R(`The flow needs a name.`,`It is how programs ask it, as flow:support.`):V.test(e)?r.taken.includes(e)?new R(`There is a flow ${e} already.`,`Choose another name, or open it.`):null:new R(`${e} cannot be its name.`,`A letter, then letters, digits, _ and -: no spaces.`)}let B=c(()=>{let e=m(C).trim().replace(/[^A-Za-z0-9_-]+/g,`_`).replace(/^[^A-Za-z]+|_+$/g,``).toLowerCase();return V.test(m(C))||!V.test(e)||r.taken.includes(e)?``:e}),U=e=>ae(e,m(C),g()||x.data?.flowNames.knowledge[0]);var W=ce(),G=u(f(W),2),K=u(f(G));k(K),p(G);var q=u(G,2),J=u(f(q),2);_(J,17,()=>ie,e=>e.name,(t,r)=>{var i=oe();let a;var s=f(i);k(s);var c,l=u(s,2),g=f(l),_=n(g,!0),v=u(g,2,!0);p(l),p(i),O(()=>{a=w(i,1,`template svelte-d9uz0v`,null,a,{chosen:m(D)===m(r).name}),c!==(c=m(r).name)&&(s.value=(s.__value=c)??``),h(_,m(r).title),h(v,m(r).says)}),d(o,[],s,()=>(m(r).name,m(D)),t=>e(D,t)),E(t,i)}),p(q);var Y=u(q,2),te=e=>{L(e,{get failure(){return m(A)}})};T(Y,e=>{m(A)&&e(te)});var X=u(Y,2),ne=t=>{var r=se(),i=f(r),a=n(i);p(r),O(()=>h(a,`Use ${m(B)??``}`)),S(`click`,i,()=>{e(C,m(B),!0),e(A,null)}),E(t,r)};T(X,e=>{m(A)&&m(B)&&e(ne)});var Z=u(X,2),Q=f(Z),$=u(Q,2);p(Z),re(u(Z,2),{make:(e,t)=>N(e,t)}),p(W),O(()=>{Q.disabled=m(M),$.disabled=m(M)}),v(`submit`,W,e=>{e.preventDefault(),N(m(C),U(m(D)),m(D)===`blank`?``:`?view=try`)}),i(K,()=>m(C),t=>e(C,t)),S(`click`,$,()=>N(m(C),U(`blank`),`?view=words`)),E(t,W),a()}C([`click`]);var $=x(`<button class="button lead" type="button">New flow</button>`),le=x(`<li class="sheet svelte-1y05d42"><h2><a class="svelte-1y05d42"> </a></h2> <p>Your draft, not published yet.</p> <p class="note"> </p></li>`),ue=x(`<p class="draft svelte-1y05d42">You have a draft of it.</p>`),de=x(`<p class="bad"> </p>`),fe=x(`<li class="sheet svelte-1y05d42"><h2><a class="svelte-1y05d42"> </a></h2> <p> </p> <!> <!> <p class="note"> </p></li>`),pe=x(`<ul class="cards svelte-1y05d42"><!> <!></ul>`),me=x(`<p class="note">Loading flows …</p>`),he=x(`<!> <!> <!>`,1);function ge(i,o){s(o,!0);let l=M.may([`manage_flows`]),d=new z(e=>F(U,{},e));d.run().then(()=>K(()=>import(`./Flow-CcFwC7LO.js`),__vite__mapDeps([0,1,2,3,4,5,6,7,8,9])));let v=new z(e=>F(W,{},e));l&&v.run();let x=I.query.get(`knowledge`)??``,C=y(b(l&&x!==``)),w=c(()=>d.data?.flows.map(e=>e.name)??[]),D=c(()=>v.data?.flowDrafts.filter(e=>e.mine)??[]),k=c(()=>m(D).filter(e=>!m(w).includes(e.name))),j=e=>m(D).some(t=>t.name===e);N(i,{title:`Flows`,lead:`Programs ask a published flow as the model flow:NAME. It is a tool for agents and a field of /graphql too.`,actions:n=>{var i=g(),a=r(i),o=n=>{var r=$();O(()=>t(r,`aria-expanded`,m(C))),S(`click`,r,()=>e(C,!m(C))),E(n,r)};T(a,e=>{l&&e(o)}),E(n,i)},children:(e,i)=>{var a=he(),o=r(a),s=e=>{{let t=c(()=>[...m(w),...m(k).map(e=>e.name)]);Q(e,{get base(){return x},get taken(){return m(t)}})}};T(o,e=>{m(C)&&e(s)});var l=u(o,2),v=e=>{L(e,{get failure(){return d.failure},retry:()=>d.run()})};T(l,e=>{d.failure&&e(v)});var y=u(l,2),b=e=>{var t=g(),n=r(t),i=e=>{A(e,{title:`No flow yet`,text:`Begin with a template, or write in words what it shall do. A YAML file in the folder flows/ is live within a second.`})};T(n,e=>{m(C)||e(i)}),E(e,t)},S=e=>{var r=pe(),i=f(r);_(i,17,()=>m(k),e=>e.name,(e,r)=>{var i=le(),a=f(i),o=f(a),s=n(o,!0);p(a);var c=u(a,4),l=n(c);p(i),O((e,n)=>{t(o,`href`,`/flows/${e??``}`),h(s,m(r).name),h(l,`saved ${n??``}`)},[()=>encodeURIComponent(m(r).name),()=>P(m(r).saved)]),E(e,i)});var a=u(i,2);_(a,17,()=>d.data.flows,e=>e.name,(e,r)=>{var i=fe(),a=f(i),o=f(a),s=n(o,!0);p(a);var l=u(a,2),d=n(l,!0),g=u(l,2),_=e=>{var t=ue();E(e,t)},v=c(()=>j(m(r).name));T(g,e=>{m(v)&&e(_)});var y=u(g,2),b=e=>{var t=de(),i=n(t);O(()=>h(i,`× ${m(r).error??``}`)),E(e,t)};T(y,e=>{m(r).error&&e(b)});var x=u(y,2),S=n(x);p(i),O((e,n,i)=>{t(o,`href`,`/flows/${e??``}`),h(s,m(r).name),h(d,m(r).description||`No description.`),h(S,`version ${n??``} · published ${i??``} · ${m(r).sideEffects?`acts outside`:`changes nothing outside`}`)},[()=>encodeURIComponent(m(r).name),()=>m(r).version.slice(0,8),()=>P(m(r).published)]),E(e,i)}),p(r),E(e,r)},D=e=>{var t=me();E(e,t)};T(y,e=>{d.data&&d.data.flows.length===0&&m(k).length===0?e(b):d.data?e(S,1):d.failure||e(D,2)}),E(e,a)},$$slots:{actions:!0,default:!0}}),a()}C([`click`]);export{ge as default};