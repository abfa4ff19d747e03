const __vite__mapDeps=(i,m=__vite__mapDeps,d=(m.f||(m.f=["Flow-BO6uS1h9.js","vendor-CeGwXqIV.js","kit-B9GIyiui.js","kit-5rHXQ0x8.css","flow-CT9W-K3Q.js","editor-CBvXiFCT.js","canvas-CCIRPRsP.js","canvas-CwWSFoIj.css","queries-BzFWrXZ8.js","Flow-GzgniavL.css"])))=>i.map(i=>d[i]);
import{At as e,B as t,Bt as n,Dt as r,Et as i,F as a,Ft as o,It as s,J as c,O as l,Ot as u,P as d,Tt as f,at as p,bt as m,ct as h,et as g,ft as _,gt as v,jt as y,kt as b,mt as x,ot as S,pt as C,q as w,rt as T,st as E,tt as D,wt as O,z as k}from"./vendor-CeGwXqIV.js";import{B as A,D as j,E as M,H as N,L as P,P as F,R as I,V as L,x as R,z}from"./kit-B9GIyiui.js";import{g as B,t as V}from"./flow-CT9W-K3Q.js";import{a as H,c as U,i as W,o as G,s as K}from"./queries-BzFWrXZ8.js";import{t as q}from"./index-C2BnxoSS.js";var J=h(`<p class="note">Reading …</p>`),Y=h(`<p class="bad"> </p>`),X=h(`<li><strong class="svelte-1dholx4"> </strong> </li>`),Z=h(`<button class="button" type="button">Open as a draft</button>`),Q=h(`<section class="svelte-1dholx4"><h3> <span class="note"> </span></h3> <!> <ul></ul> <!></section>`),ee=h(`<div><label class="svelte-1dholx4">Or drop a flow file here, a Lamatic file or the zip of a kit <input type="file" accept=".yaml,.yml,.ts,.json,.zip" class="svelte-1dholx4"/></label> <!> <!> <!></div>`);function te(a,l){s(l,!0);let u=e(!1),d=e(!1),f=e(null),h=e([]);async function _(e){b(u,!1);let t=e?.[0];if(t){b(f,null),b(h,[]),b(d,!0);try{if(/\.ya?ml$/.test(t.name)&&y(await t.text()))return;b(h,(await P(G,{name:t.name,content:await E(t)})).lamaticFlows)}catch(e){b(f,N(e))}finally{b(d,!1)}}}function y(e){let t=B(e).data;return typeof t?.name!=`string`||t.nodes===null||typeof t.nodes!=`object`||Array.isArray(t.nodes)?!1:(l.make(String(t.name),e),!0)}function E(e){return new Promise((t,n)=>{let r=new FileReader;r.onload=()=>t(String(r.result).replace(/^[^,]*,/,``)),r.onerror=()=>n(Error(`The file cannot be read.`)),r.readAsDataURL(e)})}var k=ee();let A;var M=O(k),F=r(O(M));n(M);var I=r(M,2),L=e=>{var t=J();S(e,t)};T(I,e=>{v(d)&&e(L)});var R=r(I,2),z=e=>{j(e,{get failure(){return v(f)}})};T(R,e=>{v(f)&&e(z)});var V=r(R,2);g(V,17,()=>v(h),e=>e.name,(e,a)=>{var o=Q(),s=O(o),u=O(s),d=r(u),f=i(d);n(s);var h=r(s,2),_=e=>{var t=Y(),n=i(t,!0);m(()=>p(n,v(a).error)),S(e,t)};T(h,e=>{v(a).error&&e(_)});var y=r(h,2);g(y,21,()=>v(a).notes.filter(e=>e.grade!==`imported`),D,(e,t)=>{var a=X(),o=O(a),s=i(o,!0),l=r(o);n(a),m(()=>{w(a,1,c(v(t).grade),`svelte-1dholx4`),p(s,v(t).node||`the flow`),p(l,` ${v(t).grade===`named`?`is not translated: `:``}${v(t).message??``}
            ${v(t).hint??``}`)}),S(e,a)}),n(y);var b=r(y,2),x=e=>{var t=Z();C(`click`,t,()=>l.make(v(a).name,v(a).text)),S(e,t)};T(b,e=>{v(a).text&&e(x)}),n(o),m(()=>{t(o,`aria-label`,v(a).name),p(u,`${v(a).name??``} `),p(f,`from ${v(a).file??``}`)}),S(e,o)}),n(k),m(()=>A=w(k,1,`drop svelte-1dholx4`,null,A,{over:v(u)})),x(`dragover`,k,e=>{e.preventDefault(),b(u,!0)}),x(`dragleave`,k,()=>b(u,!1)),x(`drop`,k,e=>{e.preventDefault(),_(e.dataTransfer?.files)}),C(`change`,F,e=>void _(e.currentTarget.files)),S(a,k),o()}_([`change`,`click`]);var ne=Object.assign({"./templates/answer_with_citations.yaml":`name: answer_with_citations
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
`}),$=[[`small_then_large`,`Small, then large`,`A small model answers; a large one takes over where it is not sure.`],[`answer_with_citations`,`Answer with citations`,`Finds passages in a knowledge base, and answers from them alone.`],[`classify_and_route`,`Classify and route`,`A small model sorts, and each sort goes its own way.`],[`each_over_a_list`,`Each of a list`,`The same for each item of a list, several at a time.`],[`approve_before_sending`,`Approve before sending`,`A draft waits in the inbox until a person agrees.`],[`blank`,`Blank`,`One question to one model.`]].map(([e,t,n])=>({name:e,title:t,says:n}));function re(e,t,n=`handbook`){return(ne[`./templates/${e}.yaml`]??``).replace(/^name: .*$/m,`name: ${t}`).replace(/^( +knowledge: ).*$/gm,`$1${n}`)}var ie=h(`<label><input type="radio" name="template"/> <span><strong> </strong><br/> </span></label>`),ae=h(`<form class="sheet new svelte-d9uz0v" aria-labelledby="new-title"><h2 id="new-title">New flow</h2> <label class="name svelte-d9uz0v">Name <input maxlength="63" spellcheck="false" placeholder="support"/></label> <fieldset class="svelte-d9uz0v"><legend class="svelte-d9uz0v">Begin with</legend> <!></fieldset> <!> <div class="row"><button class="button lead" type="submit">Make a draft</button> <button class="button" type="button">From words …</button></div> <!></form>`);function oe(t,c){s(c,!0);let f=[],h=l(c,`base`,3,``),_=new F(e=>P(K,{},e));_.run();let y=e(``),E=e(u(h()?`answer_with_citations`:$[0]?.name??``)),D=e(null),A=e(!1);async function M(e,t,n=``){if(b(D,R(e)),!v(D)){b(A,!0);try{await P(H,{name:e,text:t,expectedSaved:0}),I.go(`/flows/${encodeURIComponent(e)}${n}`)}catch(e){b(D,N(e))}b(A,!1)}}function R(e){return e===``?new L(`The flow needs a name.`,`It is how programs ask it, as flow:support.`):V.test(e)?c.taken.includes(e)?new L(`There is a flow ${e} already.`,`Choose another name, or open it.`):null:new L(`${e} cannot be its name.`,`A letter, then letters, digits, _ and -: no spaces.`)}let z=e=>re(e,v(y),h()||_.data?.flowNames.knowledge[0]);var B=ae(),U=r(O(B),2),W=r(O(U));k(W),n(U);var G=r(U,2),q=r(O(G),2);g(q,17,()=>$,e=>e.name,(e,t)=>{var a=ie();let o;var s=O(a);k(s);var c,l=r(s,2),u=O(l),h=i(u,!0),g=r(u,2,!0);n(l),n(a),m(()=>{o=w(a,1,`template svelte-d9uz0v`,null,o,{chosen:v(E)===v(t).name}),c!==(c=v(t).name)&&(s.value=(s.__value=c)??``),p(h,v(t).title),p(g,v(t).says)}),d(f,[],s,()=>(v(t).name,v(E)),e=>b(E,e)),S(e,a)}),n(G);var J=r(G,2),Y=e=>{j(e,{get failure(){return v(D)}})};T(J,e=>{v(D)&&e(Y)});var X=r(J,2),Z=O(X),Q=r(Z,2);n(X),te(r(X,2),{make:(e,t)=>M(e,t)}),n(B),m(()=>{Z.disabled=v(A),Q.disabled=v(A)}),x(`submit`,B,e=>{e.preventDefault(),M(v(y),z(v(E)))}),a(W,()=>v(y),e=>b(y,e)),C(`click`,Q,()=>M(v(y),z(`blank`),`?view=words`)),S(t,B),o()}_([`click`]);var se=h(`<button class="button lead" type="button">New flow</button>`),ce=h(`<li class="sheet svelte-1y05d42"><h2><a class="svelte-1y05d42"> </a></h2> <p>Your draft, not published yet.</p> <p class="note"> </p></li>`),le=h(`<p class="draft svelte-1y05d42">You have a draft of it.</p>`),ue=h(`<p class="bad"> </p>`),de=h(`<li class="sheet svelte-1y05d42"><h2><a class="svelte-1y05d42"> </a></h2> <p> </p> <!> <!> <p class="note"> </p></li>`),fe=h(`<ul class="cards svelte-1y05d42"><!> <!></ul>`),pe=h(`<p class="note">Loading flows …</p>`),me=h(`<!> <!> <!>`,1);function he(a,c){s(c,!0);let l=A.may([`manage_flows`]),d=new F(e=>P(U,{},e));d.run().then(()=>q(()=>import(`./Flow-BO6uS1h9.js`),__vite__mapDeps([0,1,2,3,4,5,6,7,8,9])));let h=new F(e=>P(W,{},e));l&&h.run();let _=I.query.get(`knowledge`)??``,x=e(u(l&&_!==``)),w=y(()=>d.data?.flows.map(e=>e.name)??[]),D=y(()=>h.data?.flowDrafts.filter(e=>e.mine)??[]),k=y(()=>v(D).filter(e=>!v(w).includes(e.name))),N=e=>v(D).some(t=>t.name===e);M(a,{title:`Flows`,lead:`Published flows of this project. Each is a model (flow:NAME), a field of /graphql and a tool.`,actions:e=>{var n=E(),r=f(n),i=e=>{var n=se();m(()=>t(n,`aria-expanded`,v(x))),C(`click`,n,()=>b(x,!v(x))),S(e,n)};T(r,e=>{l&&e(i)}),S(e,n)},children:(e,a)=>{var o=me(),s=f(o),c=e=>{{let t=y(()=>[...v(w),...v(k).map(e=>e.name)]);oe(e,{get base(){return _},get taken(){return v(t)}})}};T(s,e=>{v(x)&&e(c)});var l=r(s,2),u=e=>{j(e,{get failure(){return d.failure},retry:()=>d.run()})};T(l,e=>{d.failure&&e(u)});var h=r(l,2),b=e=>{var t=E(),n=f(t),r=e=>{z(e,{title:`No flow yet`,text:`Begin with a template, or write in words what it shall do. A YAML file in the folder flows/ is live within a second.`})};T(n,e=>{v(x)||e(r)}),S(e,t)},C=e=>{var a=fe(),o=O(a);g(o,17,()=>v(k),e=>e.name,(e,a)=>{var o=ce(),s=O(o),c=O(s),l=i(c,!0);n(s);var u=r(s,4),d=i(u);n(o),m((e,n)=>{t(c,`href`,`/flows/${e??``}`),p(l,v(a).name),p(d,`saved ${n??``}`)},[()=>encodeURIComponent(v(a).name),()=>R(v(a).saved)]),S(e,o)});var s=r(o,2);g(s,17,()=>d.data.flows,e=>e.name,(e,a)=>{var o=de(),s=O(o),c=O(s),l=i(c,!0);n(s);var u=r(s,2),d=i(u,!0),f=r(u,2),h=e=>{var t=le();S(e,t)},g=y(()=>N(v(a).name));T(f,e=>{v(g)&&e(h)});var _=r(f,2),b=e=>{var t=ue(),n=i(t);m(()=>p(n,`× ${v(a).error??``}`)),S(e,t)};T(_,e=>{v(a).error&&e(b)});var x=r(_,2),C=i(x);n(o),m((e,n,r)=>{t(c,`href`,`/flows/${e??``}`),p(l,v(a).name),p(d,v(a).description||`No description.`),p(C,`version ${n??``} · published ${r??``} · ${v(a).sideEffects?`acts outside`:`changes nothing outside`}`)},[()=>encodeURIComponent(v(a).name),()=>v(a).version.slice(0,8),()=>R(v(a).published)]),S(e,o)}),n(a),S(e,a)},D=e=>{var t=pe();S(e,t)};T(h,e=>{d.data&&d.data.flows.length===0&&v(k).length===0?e(b):d.data?e(C,1):d.failure||e(D,2)}),S(e,o)},$$slots:{actions:!0,default:!0}}),o()}_([`click`]);export{he as default};