import{Ct as e,Dt as t,Et as n,G as r,K as i,L as a,Lt as o,M as s,Mt as c,N as l,Nt as u,Ot as d,Q as f,R as p,St as m,Tt as h,Z as g,_t as _,at as v,dt as y,et as b,it as x,lt as S,nt as C,pt as w,rt as T,ut as E,wt as D,xt as O}from"./vendor-osZD3NNX.js";import{n as k,t as A}from"./graphql-DJ-Nq17B.js";import{t as j}from"./load.svelte-BFd464IN.js";import{a as M,i as N,n as P,r as F,t as I}from"./index-cSoK7NOA.js";import{t as L}from"./Page-J80O8bsP.js";import{t as R}from"./time-B4x4YzeF.js";import{g as z,t as B}from"./flow-CT9W-K3Q.js";import{a as V,c as H,i as U,o as W,s as G}from"./queries-DK63E4Gq.js";var K=v(`<p class="note">Reading …</p>`),q=v(`<p class="bad svelte-1dholx4"> </p>`),J=v(`<li><strong class="svelte-1dholx4"> </strong> </li>`),Y=v(`<button class="button" type="button">Open as a draft</button>`),X=v(`<section class="svelte-1dholx4"><h3> <span class="note"> </span></h3> <!> <ul></ul> <!></section>`),Z=v(`<div><label class="svelte-1dholx4">Or drop a flow file here, a Lamatic file or the zip of a kit <input type="file" accept=".yaml,.yml,.ts,.json,.zip" class="svelte-1dholx4"/></label> <!> <!> <!></div>`);function Q(a,s){u(s,!0);let l=t(!1),d=t(!1),p=t(null),m=t([]);async function h(e){n(l,!1);let t=e?.[0];if(t){n(p,null),n(m,[]),n(d,!0);try{if(/\.ya?ml$/.test(t.name)&&v(await t.text()))return;n(m,(await A(W,{name:t.name,content:await x(t)})).lamaticFlows)}catch(e){n(p,M(e))}finally{n(d,!1)}}}function v(e){let t=z(e).data;return typeof t?.name!=`string`||t.nodes===null||typeof t.nodes!=`object`||Array.isArray(t.nodes)?!1:(s.make(String(t.name),e),!0)}function x(e){return new Promise((t,n)=>{let r=new FileReader;r.onload=()=>t(String(r.result).replace(/^[^,]*,/,``)),r.onerror=()=>n(Error(`The file cannot be read.`)),r.readAsDataURL(e)})}var S=Z();let j;var N=O(S),P=D(O(N));o(N);var F=D(N,2),I=e=>{var t=K();T(e,t)};b(F,e=>{w(d)&&e(I)});var L=D(F,2),R=e=>{k(e,{get failure(){return w(p)}})};b(L,e=>{w(p)&&e(R)});var B=D(L,2);g(B,17,()=>w(m),e=>e.name,(t,n)=>{var a=X(),c=O(a),l=O(c),u=D(l),d=e(u);o(c);var p=D(c,2),m=t=>{var r=q(),i=e(r,!0);_(()=>C(i,w(n).error)),T(t,r)};b(p,e=>{w(n).error&&e(m)});var h=D(p,2);g(h,21,()=>w(n).notes.filter(e=>e.grade!==`imported`),f,(t,n)=>{var a=J(),s=O(a),c=e(s,!0),l=D(s);o(a),_(()=>{r(a,1,i(w(n).grade),`svelte-1dholx4`),C(c,w(n).node||`the flow`),C(l,` ${w(n).grade===`named`?`is not translated: `:``}${w(n).message??``}
            ${w(n).hint??``}`)}),T(t,a)}),o(h);var v=D(h,2),y=e=>{var t=Y();E(`click`,t,()=>s.make(w(n).name,w(n).text)),T(e,t)};b(v,e=>{w(n).text&&e(y)}),o(a),_(()=>{C(l,`${w(n).name??``} `),C(d,`from ${w(n).file??``}`)}),T(t,a)}),o(S),_(()=>j=r(S,1,`drop svelte-1dholx4`,null,j,{over:w(l)})),y(`dragover`,S,e=>{e.preventDefault(),n(l,!0)}),y(`dragleave`,S,()=>n(l,!1)),y(`drop`,S,e=>{e.preventDefault(),h(e.dataTransfer?.files)}),E(`change`,P,e=>void h(e.currentTarget.files)),T(a,S),c()}S([`change`,`click`]);var ee=Object.assign({"./templates/answer_with_citations.yaml":`name: answer_with_citations
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
`}),$=[[`small_then_large`,`Small, then large`,`A small model answers; a large one takes over where it is not sure.`],[`answer_with_citations`,`Answer with citations`,`Finds passages in a knowledge base, and answers from them alone.`],[`classify_and_route`,`Classify and route`,`A small model sorts, and each sort goes its own way.`],[`each_over_a_list`,`Each of a list`,`The same for each item of a list, several at a time.`],[`approve_before_sending`,`Approve before sending`,`A draft waits in the inbox until a person agrees.`],[`blank`,`Blank`,`One question to one model.`]].map(([e,t,n])=>({name:e,title:t,says:n}));function te(e,t,n=`handbook`){return(ee[`./templates/${e}.yaml`]??``).replace(/^name: .*$/m,`name: ${t}`).replace(/^( +knowledge: ).*$/gm,`$1${n}`)}var ne=v(`<label><input type="radio" name="template" class="svelte-d9uz0v"/> <span><strong> </strong><br/><span class="note"> </span></span></label>`),re=v(`<section class="sheet new svelte-d9uz0v" aria-labelledby="new-title"><h2 id="new-title">New flow</h2> <label class="name svelte-d9uz0v">Name <input maxlength="63" spellcheck="false" placeholder="support"/></label> <fieldset class="svelte-d9uz0v"><legend class="svelte-d9uz0v">Begin with</legend> <!></fieldset> <!> <div class="row svelte-d9uz0v"><button class="button lead" type="button">Make a draft</button> <button class="button" type="button">From words …</button></div> <!></section>`);function ie(i,d){u(d,!0);let f=[],p=new j(e=>A(G,{},e));p.run();let m=t(``),v=t(h($[0]?.name??``)),y=t(null),x=t(!1);async function S(e,t,r=``){if(n(y,P(e)),!w(y)){n(x,!0);try{await A(V,{name:e,text:t,expectedSaved:0}),I.go(`/flows/${encodeURIComponent(e)}${r}`)}catch(e){n(y,M(e))}n(x,!1)}}function P(e){return B.test(e)?d.taken.includes(e)?new N(`There is a flow ${e} already.`,`Choose another name, or open it.`):null:new N(`The flow needs a name.`,`A letter, then letters, digits, _ and -.`)}let F=e=>te(e,w(m),p.data?.flowNames.knowledge[0]);var L=re(),R=D(O(L),2),z=D(O(R));a(z),o(R);var H=D(R,2),U=D(O(H),2);g(U,17,()=>$,e=>e.name,(t,i)=>{var c=ne();let l;var u=O(c);a(u);var d,p=D(u,2),m=O(p),h=e(m,!0),g=D(m,2),y=e(g,!0);o(p),o(c),_(()=>{l=r(c,1,`template svelte-d9uz0v`,null,l,{chosen:w(v)===w(i).name}),d!==(d=w(i).name)&&(u.value=(u.__value=d)??``),C(h,w(i).title),C(y,w(i).says)}),s(f,[],u,()=>(w(i).name,w(v)),e=>n(v,e)),T(t,c)}),o(H);var W=D(H,2),K=e=>{k(e,{get failure(){return w(y)}})};b(W,e=>{w(y)&&e(K)});var q=D(W,2),J=O(q),Y=D(J,2);o(q),Q(D(q,2),{make:(e,t)=>S(e,t)}),o(L),_(()=>{J.disabled=w(x),Y.disabled=w(x)}),l(z,()=>w(m),e=>n(m,e)),E(`click`,J,()=>S(w(m),F(w(v)))),E(`click`,Y,()=>S(w(m),F(`blank`),`?view=words`)),T(i,L),c()}S([`click`]);var ae=v(`<button class="button lead" type="button">New flow</button>`),oe=v(`<li class="sheet svelte-1y05d42"><h2><a class="svelte-1y05d42"> </a></h2> <p>Your draft, not published yet.</p> <p class="note"> </p></li>`),se=v(`<p class="draft svelte-1y05d42">You have a draft of it.</p>`),ce=v(`<p class="bad svelte-1y05d42"> </p>`),le=v(`<li class="sheet svelte-1y05d42"><h2><a class="svelte-1y05d42"> </a></h2> <p> </p> <!> <!> <p class="note"> </p></li>`),ue=v(`<ul class="cards svelte-1y05d42"><!> <!></ul>`),de=v(`<p class="note">Loading flows …</p>`),fe=v(`<!> <!> <!>`,1);function pe(r,i){u(i,!0);let a=F.may([`manage_flows`]),s=new j(e=>A(H,{},e));s.run();let l=new j(e=>A(U,{},e));a&&l.run();let f=t(!1),h=d(()=>s.data?.flows.map(e=>e.name)??[]),v=d(()=>l.data?.flowDrafts.filter(e=>e.mine)??[]),y=d(()=>w(v).filter(e=>!w(h).includes(e.name))),S=e=>w(v).some(t=>t.name===e);L(r,{title:`Flows`,lead:`Published flows of this project. Each is a model (flow:NAME), a field of /graphql and a tool.`,actions:e=>{var t=x(),r=m(t),i=e=>{var t=ae();_(()=>p(t,`aria-expanded`,w(f))),E(`click`,t,()=>n(f,!w(f))),T(e,t)};b(r,e=>{a&&e(i)}),T(e,t)},children:(t,n)=>{var r=fe(),i=m(r),a=e=>{{let t=d(()=>[...w(h),...w(y).map(e=>e.name)]);ie(e,{get taken(){return w(t)}})}};b(i,e=>{w(f)&&e(a)});var c=D(i,2),l=e=>{k(e,{get failure(){return s.failure},retry:()=>s.run()})};b(c,e=>{s.failure&&e(l)});var u=D(c,2),v=e=>{P(e,{title:`No flow yet`,text:`Make one here, or save a YAML file in the folder flows/: it is live within a second.`})},x=t=>{var n=ue(),r=O(n);g(r,17,()=>w(y),e=>e.name,(t,n)=>{var r=oe(),i=O(r),a=O(i),s=e(a,!0);o(i);var c=D(i,4),l=e(c);o(r),_((e,t)=>{p(a,`href`,`/flows/${e??``}`),C(s,w(n).name),C(l,`saved ${t??``}`)},[()=>encodeURIComponent(w(n).name),()=>R(w(n).saved)]),T(t,r)});var i=D(r,2);g(i,17,()=>s.data.flows,e=>e.name,(t,n)=>{var r=le(),i=O(r),a=O(i),s=e(a,!0);o(i);var c=D(i,2),l=e(c,!0),u=D(c,2),f=e=>{var t=se();T(e,t)},m=d(()=>S(w(n).name));b(u,e=>{w(m)&&e(f)});var h=D(u,2),g=t=>{var r=ce(),i=e(r);_(()=>C(i,`× ${w(n).error??``}`)),T(t,r)};b(h,e=>{w(n).error&&e(g)});var v=D(h,2),y=e(v);o(r),_((e,t,r)=>{p(a,`href`,`/flows/${e??``}`),C(s,w(n).name),C(l,w(n).description||`No description.`),C(y,`version ${t??``} · published ${r??``} · ${w(n).sideEffects?`acts outside`:`changes nothing outside`}`)},[()=>encodeURIComponent(w(n).name),()=>w(n).version.slice(0,8),()=>R(w(n).published)]),T(t,r)}),o(n),T(t,n)},E=e=>{var t=de();T(e,t)};b(u,e=>{s.data&&s.data.flows.length===0&&w(y).length===0?e(v):s.data?e(x,1):s.failure||e(E,2)}),T(t,r)},$$slots:{actions:!0,default:!0}}),c()}S([`click`]);export{pe as default};