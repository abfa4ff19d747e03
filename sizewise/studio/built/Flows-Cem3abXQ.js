import{$ as e,Ct as t,Dt as n,Et as r,K as i,N as a,Nt as o,Ot as s,P as c,Pt as l,Q as u,R as d,Rt as f,St as p,Tt as m,at as h,dt as g,ft as _,it as v,kt as y,mt as b,ot as x,q as S,rt as C,tt as w,ut as T,vt as E,wt as D,z as O}from"./vendor-CARI6dvk.js";import{n as k,t as A}from"./graphql-BOmMdbp9.js";import{t as j}from"./load.svelte-BIrkxh5f.js";import{a as M,i as N,n as P,r as F,t as I}from"./index-ETRsAObT.js";import{t as L}from"./Page-BQDqXxTg.js";import{t as R}from"./time-B4x4YzeF.js";import{g as z,t as B}from"./flow-CT9W-K3Q.js";import{a as V,c as H,i as U,o as W,s as G}from"./queries-BiYYdt_B.js";var K=x(`<p class="note">Reading …</p>`),q=x(`<p class="bad svelte-1dholx4"> </p>`),J=x(`<li><strong class="svelte-1dholx4"> </strong> </li>`),Y=x(`<button class="button" type="button">Open as a draft</button>`),X=x(`<section class="svelte-1dholx4"><h3> <span class="note"> </span></h3> <!> <ul></ul> <!></section>`),Z=x(`<div><label class="svelte-1dholx4">Or drop a flow file here, a Lamatic file or the zip of a kit <input type="file" accept=".yaml,.yml,.ts,.json,.zip" class="svelte-1dholx4"/></label> <!> <!> <!></div>`);function Q(t,r){l(r,!0);let a=s(!1),c=s(!1),d=s(null),h=s([]);async function y(e){n(a,!1);let t=e?.[0];if(t){n(d,null),n(h,[]),n(c,!0);try{if(/\.ya?ml$/.test(t.name)&&x(await t.text()))return;n(h,(await A(W,{name:t.name,content:await T(t)})).lamaticFlows)}catch(e){n(d,M(e))}finally{n(c,!1)}}}function x(e){let t=z(e).data;return typeof t?.name!=`string`||t.nodes===null||typeof t.nodes!=`object`||Array.isArray(t.nodes)?!1:(r.make(String(t.name),e),!0)}function T(e){return new Promise((t,n)=>{let r=new FileReader;r.onload=()=>t(String(r.result).replace(/^[^,]*,/,``)),r.onerror=()=>n(Error(`The file cannot be read.`)),r.readAsDataURL(e)})}var O=Z();let j;var N=p(O),P=m(p(N));f(N);var F=m(N,2),I=e=>{var t=K();v(e,t)};w(F,e=>{b(c)&&e(I)});var L=m(F,2),R=e=>{k(e,{get failure(){return b(d)}})};w(L,e=>{b(d)&&e(R)});var B=m(L,2);u(B,17,()=>b(h),e=>e.name,(t,n)=>{var a=X(),o=p(a),s=p(o),c=m(s),l=D(c);f(o);var d=m(o,2),h=e=>{var t=q(),r=D(t,!0);E(()=>C(r,b(n).error)),v(e,t)};w(d,e=>{b(n).error&&e(h)});var _=m(d,2);u(_,21,()=>b(n).notes.filter(e=>e.grade!==`imported`),e,(e,t)=>{var n=J(),r=p(n),a=D(r,!0),o=m(r);f(n),E(()=>{i(n,1,S(b(t).grade),`svelte-1dholx4`),C(a,b(t).node||`the flow`),C(o,` ${b(t).grade===`named`?`is not translated: `:``}${b(t).message??``}
            ${b(t).hint??``}`)}),v(e,n)}),f(_);var y=m(_,2),x=e=>{var t=Y();g(`click`,t,()=>r.make(b(n).name,b(n).text)),v(e,t)};w(y,e=>{b(n).text&&e(x)}),f(a),E(()=>{C(s,`${b(n).name??``} `),C(l,`from ${b(n).file??``}`)}),v(t,a)}),f(O),E(()=>j=i(O,1,`drop svelte-1dholx4`,null,j,{over:b(a)})),_(`dragover`,O,e=>{e.preventDefault(),n(a,!0)}),_(`dragleave`,O,()=>n(a,!1)),_(`drop`,O,e=>{e.preventDefault(),y(e.dataTransfer?.files)}),g(`change`,P,e=>void y(e.currentTarget.files)),v(t,O),o()}T([`change`,`click`]);var ee=Object.assign({"./templates/answer_with_citations.yaml":`name: answer_with_citations
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
    system: Use only the passages. Put the number of the passage behind each sentence, as in [1].
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
`}),$=[[`small_then_large`,`Small, then large`,`A small model answers; a large one takes over where it is not sure.`],[`answer_with_citations`,`Answer with citations`,`Finds passages in a knowledge base, and answers from them alone.`],[`classify_and_route`,`Classify and route`,`A small model sorts, and each sort goes its own way.`],[`each_over_a_list`,`Each of a list`,`The same for each item of a list, several at a time.`],[`approve_before_sending`,`Approve before sending`,`A draft waits in the inbox until a person agrees.`],[`blank`,`Blank`,`One question to one model.`]].map(([e,t,n])=>({name:e,title:t,says:n}));function te(e,t,n=`handbook`){return(ee[`./templates/${e}.yaml`]??``).replace(/^name: .*$/m,`name: ${t}`).replace(/^( +knowledge: ).*$/gm,`$1${n}`)}var ne=x(`<label><input type="radio" name="template" class="svelte-d9uz0v"/> <span><strong> </strong><br/><span class="note"> </span></span></label>`),re=x(`<section class="sheet new svelte-d9uz0v" aria-labelledby="new-title"><h2 id="new-title">New flow</h2> <label class="name svelte-d9uz0v">Name <input maxlength="63" spellcheck="false" placeholder="support"/></label> <fieldset class="svelte-d9uz0v"><legend class="svelte-d9uz0v">Begin with</legend> <!></fieldset> <!> <div class="row svelte-d9uz0v"><button class="button lead" type="button">Make a draft</button> <button class="button" type="button">From words …</button></div> <!></section>`);function ie(e,t){l(t,!0);let h=[],_=new j(e=>A(G,{},e));_.run();let y=s(``),x=s(r($[0]?.name??``)),S=s(null),T=s(!1);async function O(e,t,r=``){if(n(S,P(e)),!b(S)){n(T,!0);try{await A(V,{name:e,text:t,expectedSaved:0}),I.go(`/flows/${encodeURIComponent(e)}${r}`)}catch(e){n(S,M(e))}n(T,!1)}}function P(e){return B.test(e)?t.taken.includes(e)?new N(`There is a flow ${e} already.`,`Choose another name, or open it.`):null:new N(`The flow needs a name.`,`A letter, then letters, digits, _ and -.`)}let F=e=>te(e,b(y),_.data?.flowNames.knowledge[0]);var L=re(),R=m(p(L),2),z=m(p(R));d(z),f(R);var H=m(R,2),U=m(p(H),2);u(U,17,()=>$,e=>e.name,(e,t)=>{var r=ne();let o;var s=p(r);d(s);var c,l=m(s,2),u=p(l),g=D(u,!0),_=m(u,2),y=D(_,!0);f(l),f(r),E(()=>{o=i(r,1,`template svelte-d9uz0v`,null,o,{chosen:b(x)===b(t).name}),c!==(c=b(t).name)&&(s.value=(s.__value=c)??``),C(g,b(t).title),C(y,b(t).says)}),a(h,[],s,()=>(b(t).name,b(x)),e=>n(x,e)),v(e,r)}),f(H);var W=m(H,2),K=e=>{k(e,{get failure(){return b(S)}})};w(W,e=>{b(S)&&e(K)});var q=m(W,2),J=p(q),Y=m(J,2);f(q),Q(m(q,2),{make:(e,t)=>O(e,t)}),f(L),E(()=>{J.disabled=b(T),Y.disabled=b(T)}),c(z,()=>b(y),e=>n(y,e)),g(`click`,J,()=>O(b(y),F(b(x)))),g(`click`,Y,()=>O(b(y),F(`blank`),`?view=words`)),v(e,L),o()}T([`click`]);var ae=x(`<button class="button lead" type="button">New flow</button>`),oe=x(`<li class="sheet svelte-1y05d42"><h2><a class="svelte-1y05d42"> </a></h2> <p>Your draft, not published yet.</p> <p class="note"> </p></li>`),se=x(`<p class="draft svelte-1y05d42">You have a draft of it.</p>`),ce=x(`<p class="bad svelte-1y05d42"> </p>`),le=x(`<li class="sheet svelte-1y05d42"><h2><a class="svelte-1y05d42"> </a></h2> <p> </p> <!> <!> <p class="note"> </p></li>`),ue=x(`<ul class="cards svelte-1y05d42"><!> <!></ul>`),de=x(`<p class="note">Loading flows …</p>`),fe=x(`<!> <!> <!>`,1);function pe(e,r){l(r,!0);let i=F.may([`manage_flows`]),a=new j(e=>A(H,{},e));a.run();let c=new j(e=>A(U,{},e));i&&c.run();let d=s(!1),_=y(()=>a.data?.flows.map(e=>e.name)??[]),x=y(()=>c.data?.flowDrafts.filter(e=>e.mine)??[]),S=y(()=>b(x).filter(e=>!b(_).includes(e.name))),T=e=>b(x).some(t=>t.name===e);L(e,{title:`Flows`,lead:`Published flows of this project. Each is a model (flow:NAME), a field of /graphql and a tool.`,actions:e=>{var r=h(),a=t(r),o=e=>{var t=ae();E(()=>O(t,`aria-expanded`,b(d))),g(`click`,t,()=>n(d,!b(d))),v(e,t)};w(a,e=>{i&&e(o)}),v(e,r)},children:(e,n)=>{var r=fe(),i=t(r),o=e=>{{let t=y(()=>[...b(_),...b(S).map(e=>e.name)]);ie(e,{get taken(){return b(t)}})}};w(i,e=>{b(d)&&e(o)});var s=m(i,2),c=e=>{k(e,{get failure(){return a.failure},retry:()=>a.run()})};w(s,e=>{a.failure&&e(c)});var l=m(s,2),h=e=>{P(e,{title:`No flow yet`,text:`Make one here, or save a YAML file in the folder flows/: it is live within a second.`})},g=e=>{var t=ue(),n=p(t);u(n,17,()=>b(S),e=>e.name,(e,t)=>{var n=oe(),r=p(n),i=p(r),a=D(i,!0);f(r);var o=m(r,4),s=D(o);f(n),E((e,n)=>{O(i,`href`,`/flows/${e??``}`),C(a,b(t).name),C(s,`saved ${n??``}`)},[()=>encodeURIComponent(b(t).name),()=>R(b(t).saved)]),v(e,n)});var r=m(n,2);u(r,17,()=>a.data.flows,e=>e.name,(e,t)=>{var n=le(),r=p(n),i=p(r),a=D(i,!0);f(r);var o=m(r,2),s=D(o,!0),c=m(o,2),l=e=>{var t=se();v(e,t)},u=y(()=>T(b(t).name));w(c,e=>{b(u)&&e(l)});var d=m(c,2),h=e=>{var n=ce(),r=D(n);E(()=>C(r,`× ${b(t).error??``}`)),v(e,n)};w(d,e=>{b(t).error&&e(h)});var g=m(d,2),_=D(g);f(n),E((e,n,r)=>{O(i,`href`,`/flows/${e??``}`),C(a,b(t).name),C(s,b(t).description||`No description.`),C(_,`version ${n??``} · published ${r??``} · ${b(t).sideEffects?`acts outside`:`changes nothing outside`}`)},[()=>encodeURIComponent(b(t).name),()=>b(t).version.slice(0,8),()=>R(b(t).published)]),v(e,n)}),f(t),v(e,t)},x=e=>{var t=de();v(e,t)};w(l,e=>{a.data&&a.data.flows.length===0&&b(S).length===0?e(h):a.data?e(g,1):a.failure||e(x,2)}),v(e,r)},$$slots:{actions:!0,default:!0}}),o()}T([`click`]);export{pe as default};