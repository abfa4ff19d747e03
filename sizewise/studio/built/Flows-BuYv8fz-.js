import{$ as e,A as t,At as n,Ct as r,F as i,H as a,J as o,P as s,Pt as c,St as l,Tt as u,U as d,Y as f,Z as p,bt as m,ct as h,et as g,k as _,kt as v,mt as y,nt as b,ot as x,st as S,tt as C,ut as w,vt as T,wt as E,xt as D,yt as O}from"./vendor-CK1bhph4.js";import{n as k,t as A}from"./Failed-B4XglMx2.js";import{t as j}from"./load.svelte-DWkuVRl7.js";import{a as M,i as N,n as P,r as F,t as I}from"./index-C85IZJKy.js";import{t as L}from"./Page-DzThVmNk.js";import{t as R}from"./time-B4x4YzeF.js";import{g as z,t as B}from"./flow-CT9W-K3Q.js";import{a as V,c as H,i as U,o as W,s as G}from"./queries-DK63E4Gq.js";var K=b(`<p class="note">Reading …</p>`),q=b(`<p class="bad svelte-1dholx4"> </p>`),J=b(`<li><strong class="svelte-1dholx4"> </strong> </li>`),Y=b(`<button class="button" type="button">Open as a draft</button>`),X=b(`<section class="svelte-1dholx4"><h3> <span class="note"> </span></h3> <!> <ul></ul> <!></section>`),Z=b(`<div><label class="svelte-1dholx4">Or drop a flow file here, a Lamatic file or the zip of a kit <input type="file" accept=".yaml,.yml,.ts,.json,.zip" class="svelte-1dholx4"/></label> <!> <!> <!></div>`);function Q(t,i){n(i,!0);let s=E(!1),l=E(!1),u=E(null),_=E([]);async function b(e){r(s,!1);let t=e?.[0];if(t){r(u,null),r(_,[]),r(l,!0);try{if(/\.ya?ml$/.test(t.name)&&x(await t.text()))return;r(_,(await k(W,{name:t.name,content:await C(t)})).lamaticFlows)}catch(e){r(u,M(e))}finally{r(l,!1)}}}function x(e){let t=z(e).data;return typeof t?.name!=`string`||t.nodes===null||typeof t.nodes!=`object`||Array.isArray(t.nodes)?!1:(i.make(String(t.name),e),!0)}function C(e){return new Promise((t,n)=>{let r=new FileReader;r.onload=()=>t(String(r.result).replace(/^[^,]*,/,``)),r.onerror=()=>n(Error(`The file cannot be read.`)),r.readAsDataURL(e)})}var O=Z();let j;var N=T(O),P=D(T(N));c(N);var F=D(N,2),I=e=>{var t=K();g(e,t)};p(F,e=>{w(l)&&e(I)});var L=D(F,2),R=e=>{A(e,{get failure(){return w(u)}})};p(L,e=>{w(u)&&e(R)});var B=D(L,2);o(B,17,()=>w(_),e=>e.name,(t,n)=>{var r=X(),s=T(r),l=T(s),u=D(l),h=m(u);c(s);var _=D(s,2),v=t=>{var r=q(),i=m(r,!0);y(()=>e(i,w(n).error)),g(t,r)};p(_,e=>{w(n).error&&e(v)});var b=D(_,2);o(b,21,()=>w(n).notes.filter(e=>e.grade!==`imported`),f,(t,n)=>{var r=J(),i=T(r),o=m(i,!0),s=D(i);c(r),y(()=>{a(r,1,d(w(n).grade),`svelte-1dholx4`),e(o,w(n).node||`the flow`),e(s,` ${w(n).grade===`named`?`is not translated: `:``}${w(n).message??``}
            ${w(n).hint??``}`)}),g(t,r)}),c(b);var x=D(b,2),C=e=>{var t=Y();S(`click`,t,()=>i.make(w(n).name,w(n).text)),g(e,t)};p(x,e=>{w(n).text&&e(C)}),c(r),y(()=>{e(l,`${w(n).name??``} `),e(h,`from ${w(n).file??``}`)}),g(t,r)}),c(O),y(()=>j=a(O,1,`drop svelte-1dholx4`,null,j,{over:w(s)})),h(`dragover`,O,e=>{e.preventDefault(),r(s,!0)}),h(`dragleave`,O,()=>r(s,!1)),h(`drop`,O,e=>{e.preventDefault(),b(e.dataTransfer?.files)}),S(`change`,P,e=>void b(e.currentTarget.files)),g(t,O),v()}x([`change`,`click`]);var ee=Object.assign({"./templates/answer_with_citations.yaml":`name: answer_with_citations
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
`}),$=[[`small_then_large`,`Small, then large`,`A small model answers; a large one takes over where it is not sure.`],[`answer_with_citations`,`Answer with citations`,`Finds passages in a knowledge base, and answers from them alone.`],[`classify_and_route`,`Classify and route`,`A small model sorts, and each sort goes its own way.`],[`each_over_a_list`,`Each of a list`,`The same for each item of a list, several at a time.`],[`approve_before_sending`,`Approve before sending`,`A draft waits in the inbox until a person agrees.`],[`blank`,`Blank`,`One question to one model.`]].map(([e,t,n])=>({name:e,title:t,says:n}));function te(e,t,n=`handbook`){return(ee[`./templates/${e}.yaml`]??``).replace(/^name: .*$/m,`name: ${t}`).replace(/^( +knowledge: ).*$/gm,`$1${n}`)}var ne=b(`<label><input type="radio" name="template" class="svelte-d9uz0v"/> <span><strong> </strong><br/><span class="note"> </span></span></label>`),re=b(`<section class="sheet new svelte-d9uz0v" aria-labelledby="new-title"><h2 id="new-title">New flow</h2> <label class="name svelte-d9uz0v">Name <input maxlength="63" spellcheck="false" placeholder="support"/></label> <fieldset class="svelte-d9uz0v"><legend class="svelte-d9uz0v">Begin with</legend> <!></fieldset> <!> <div class="row svelte-d9uz0v"><button class="button lead" type="button">Make a draft</button> <button class="button" type="button">From words …</button></div> <!></section>`);function ie(i,u){n(u,!0);let d=[],f=new j(e=>k(G,{},e));f.run();let h=E(``),b=E(l($[0]?.name??``)),x=E(null),C=E(!1);async function O(e,t,n=``){if(r(x,P(e)),!w(x)){r(C,!0);try{await k(V,{name:e,text:t,expectedSaved:0}),I.go(`/flows/${encodeURIComponent(e)}${n}`)}catch(e){r(x,M(e))}r(C,!1)}}function P(e){return B.test(e)?u.taken.includes(e)?new N(`There is a flow ${e} already.`,`Choose another name, or open it.`):null:new N(`The flow needs a name.`,`A letter, then letters, digits, _ and -.`)}let F=e=>te(e,w(h),f.data?.flowNames.knowledge[0]);var L=re(),R=D(T(L),2),z=D(T(R));s(z),c(R);var H=D(R,2),U=D(T(H),2);o(U,17,()=>$,e=>e.name,(t,n)=>{var i=ne();let o;var l=T(i);s(l);var u,f=D(l,2),p=T(f),h=m(p,!0),v=D(p,2),x=m(v,!0);c(f),c(i),y(()=>{o=a(i,1,`template svelte-d9uz0v`,null,o,{chosen:w(b)===w(n).name}),u!==(u=w(n).name)&&(l.value=(l.__value=u)??``),e(h,w(n).title),e(x,w(n).says)}),_(d,[],l,()=>(w(n).name,w(b)),e=>r(b,e)),g(t,i)}),c(H);var W=D(H,2),K=e=>{A(e,{get failure(){return w(x)}})};p(W,e=>{w(x)&&e(K)});var q=D(W,2),J=T(q),Y=D(J,2);c(q),Q(D(q,2),{make:(e,t)=>O(e,t)}),c(L),y(()=>{J.disabled=w(C),Y.disabled=w(C)}),t(z,()=>w(h),e=>r(h,e)),S(`click`,J,()=>O(w(h),F(w(b)))),S(`click`,Y,()=>O(w(h),F(`blank`),`?view=words`)),g(i,L),v()}x([`click`]);var ae=b(`<button class="button lead" type="button">New flow</button>`),oe=b(`<li class="sheet svelte-1y05d42"><h2><a class="svelte-1y05d42"> </a></h2> <p>Your draft, not published yet.</p> <p class="note"> </p></li>`),se=b(`<p class="draft svelte-1y05d42">You have a draft of it.</p>`),ce=b(`<p class="bad svelte-1y05d42"> </p>`),le=b(`<li class="sheet svelte-1y05d42"><h2><a class="svelte-1y05d42"> </a></h2> <p> </p> <!> <!> <p class="note"> </p></li>`),ue=b(`<ul class="cards svelte-1y05d42"><!> <!></ul>`),de=b(`<p class="note">Loading flows …</p>`),fe=b(`<!> <!> <!>`,1);function pe(t,a){n(a,!0);let s=F.may([`manage_flows`]),l=new j(e=>k(H,{},e));l.run();let d=new j(e=>k(U,{},e));s&&d.run();let f=E(!1),h=u(()=>l.data?.flows.map(e=>e.name)??[]),_=u(()=>d.data?.flowDrafts.filter(e=>e.mine)??[]),b=u(()=>w(_).filter(e=>!w(h).includes(e.name))),x=e=>w(_).some(t=>t.name===e);L(t,{title:`Flows`,lead:`Published flows of this project. Each is a model (flow:NAME), a field of /graphql and a tool.`,actions:e=>{var t=C(),n=O(t),a=e=>{var t=ae();y(()=>i(t,`aria-expanded`,w(f))),S(`click`,t,()=>r(f,!w(f))),g(e,t)};p(n,e=>{s&&e(a)}),g(e,t)},children:(t,n)=>{var r=fe(),a=O(r),s=e=>{{let t=u(()=>[...w(h),...w(b).map(e=>e.name)]);ie(e,{get taken(){return w(t)}})}};p(a,e=>{w(f)&&e(s)});var d=D(a,2),_=e=>{A(e,{get failure(){return l.failure},retry:()=>l.run()})};p(d,e=>{l.failure&&e(_)});var v=D(d,2),S=e=>{P(e,{title:`No flow yet`,text:`Make one here, or save a YAML file in the folder flows/: it is live within a second.`})},C=t=>{var n=ue(),r=T(n);o(r,17,()=>w(b),e=>e.name,(t,n)=>{var r=oe(),a=T(r),o=T(a),s=m(o,!0);c(a);var l=D(a,4),u=m(l);c(r),y((t,r)=>{i(o,`href`,`/flows/${t??``}`),e(s,w(n).name),e(u,`saved ${r??``}`)},[()=>encodeURIComponent(w(n).name),()=>R(w(n).saved)]),g(t,r)});var a=D(r,2);o(a,17,()=>l.data.flows,e=>e.name,(t,n)=>{var r=le(),a=T(r),o=T(a),s=m(o,!0);c(a);var l=D(a,2),d=m(l,!0),f=D(l,2),h=e=>{var t=se();g(e,t)},_=u(()=>x(w(n).name));p(f,e=>{w(_)&&e(h)});var v=D(f,2),b=t=>{var r=ce(),i=m(r);y(()=>e(i,`× ${w(n).error??``}`)),g(t,r)};p(v,e=>{w(n).error&&e(b)});var S=D(v,2),C=m(S);c(r),y((t,r,a)=>{i(o,`href`,`/flows/${t??``}`),e(s,w(n).name),e(d,w(n).description||`No description.`),e(C,`version ${r??``} · published ${a??``} · ${w(n).sideEffects?`acts outside`:`changes nothing outside`}`)},[()=>encodeURIComponent(w(n).name),()=>w(n).version.slice(0,8),()=>R(w(n).published)]),g(t,r)}),c(n),g(t,n)},E=e=>{var t=de();g(e,t)};p(v,e=>{l.data&&l.data.flows.length===0&&w(b).length===0?e(S):l.data?e(C,1):l.failure||e(E,2)}),g(t,r)},$$slots:{actions:!0,default:!0}}),v()}x([`click`]);export{pe as default};