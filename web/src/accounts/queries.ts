// Typed documents of this room, generated from queries.graphql by `make docs`; do not edit.
import type { Document } from '../api/document';

export type AccessKey = { id: string; name: string; project: string; user: string; createdBy: string; allProjects: boolean; environment: string; scope: { endpoints: Array<string>; models: Array<string>; policies: Array<string>; flows: Array<string>; networks: Array<string>; }; permissions: Array<'ask' | 'read_models' | 'read_records' | 'read_contents' | 'read_metrics' | 'read_keys' | 'read_users' | 'read_budgets' | 'read_releases' | 'read_evals' | 'read_audit' | 'own_keys' | 'manage_keys' | 'manage_users' | 'manage_budgets' | 'serve_edge' | 'annotate' | 'run_evals' | 'run_tuning' | 'approve' | 'manage_flows' | 'manage_releases' | 'manage_evals' | 'manage_policies' | 'manage_knowledge' | 'manage_alerts' | 'manage_settings' | 'manage_encryption' | 'erase_records' | 'create_organizations' | 'read' | 'manage'>; dataClass: 'public' | 'internal' | 'confidential' | null; created: number; expires: number | null; revoked: number | null; state: string; };

export type AuditLine = { seq: number; at: number; actor: string; action: string; resource: string; error: string; credential: string; before: unknown | null; after: unknown | null; previous: string; hash: string; };

export type AccountSessions = { signInSessions: Array<{ id: string; user: string; email: string; project: string; created: number; lastSeen: number; expires: number; method: string; secondFactor: string; device: string; network: string; current: boolean; }>; };
export const accountSessionsDocument: Document<AccountSessions, object> = {
  text: `query AccountSessions{signInSessions{id user email project created lastSeen expires method secondFactor device network current}}`,
};

export type AccountSignOut = { signOut: { id: string; }; };
export const accountSignOutDocument: Document<AccountSignOut, { user?: string | null; session?: string | null; }> = {
  text: `mutation AccountSignOut($user:String$session:String){signOut(user:$user session:$session){id}}`,
};

export type AccessKeys = { keys: Array<AccessKey>; };
export const accessKeysDocument: Document<AccessKeys, object> = {
  text: `query AccessKeys{keys{...AccessKey}}fragment AccessKey on Key{id name project user createdBy allProjects environment scope{endpoints models policies flows networks}permissions dataClass created expires revoked state}`,
};

export type AccessCreateKey = { createKey: { secret: string; key: AccessKey; }; };
export const accessCreateKeyDocument: Document<AccessCreateKey, { name: string; permissions: Array<'ask' | 'read_models' | 'read_records' | 'read_contents' | 'read_metrics' | 'read_keys' | 'read_users' | 'read_budgets' | 'read_releases' | 'read_evals' | 'read_audit' | 'own_keys' | 'manage_keys' | 'manage_users' | 'manage_budgets' | 'serve_edge' | 'annotate' | 'run_evals' | 'run_tuning' | 'approve' | 'manage_flows' | 'manage_releases' | 'manage_evals' | 'manage_policies' | 'manage_knowledge' | 'manage_alerts' | 'manage_settings' | 'manage_encryption' | 'erase_records' | 'create_organizations' | 'read' | 'manage'>; expiresInDays?: number | null; models: Array<string>; policies: Array<string>; personal: boolean; }> = {
  text: `mutation AccessCreateKey($name:String!$permissions:[Permission!]!$expiresInDays:Float$models:[String!]!$policies:[String!]!$personal:Boolean!){createKey(name:$name permissions:$permissions expiresInDays:$expiresInDays models:$models policies:$policies personal:$personal){secret key{...AccessKey}}}fragment AccessKey on Key{id name project user createdBy allProjects environment scope{endpoints models policies flows networks}permissions dataClass created expires revoked state}`,
};

export type AccessRotateKey = { rotateKey: { secret: string; key: AccessKey; }; };
export const accessRotateKeyDocument: Document<AccessRotateKey, { id: string; overlapHours: number; }> = {
  text: `mutation AccessRotateKey($id:String!$overlapHours:Float!){rotateKey(id:$id overlapHours:$overlapHours){secret key{...AccessKey}}}fragment AccessKey on Key{id name project user createdBy allProjects environment scope{endpoints models policies flows networks}permissions dataClass created expires revoked state}`,
};

export type AccessRevokeKey = { revokeKey: { id: string; }; };
export const accessRevokeKeyDocument: Document<AccessRevokeKey, { id: string; }> = {
  text: `mutation AccessRevokeKey($id:String!){revokeKey(id:$id){id}}`,
};

export type AccessPeople = { users: Array<{ id: string; email: string; name: string; role: string; projects: Array<{ project: string; role: string; }>; password: boolean; issuer: string; roleFrom: string; created: number; state: string; serviceKeys: Array<{ id: string; name: string; }>; secondFactor: { since: number; recoveryLeft: number; } | null; }>; roles: Array<{ name: string; permissions: Array<string>; }>; invitations: Array<{ id: string; email: string; role: string; project: string; created: number; expires: number; used: number | null; }>; };
export const accessPeopleDocument: Document<AccessPeople, object> = {
  text: `query AccessPeople{users{id email name role projects{project role}password issuer roleFrom created state serviceKeys{id name}secondFactor{since recoveryLeft}}roles{name permissions}invitations{id email role project created expires used}}`,
};

export type AccessInvite = { inviteUser: { token: string; invitation: { id: string; }; }; };
export const accessInviteDocument: Document<AccessInvite, { email: string; role?: string | null; project?: string | null; }> = {
  text: `mutation AccessInvite($email:String!$role:String$project:String){inviteUser(email:$email role:$role project:$project){token invitation{id}}}`,
};

export type AccessWithdraw = { withdrawInvitation: { id: string; }; };
export const accessWithdrawDocument: Document<AccessWithdraw, { id: string; }> = {
  text: `mutation AccessWithdraw($id:String!){withdrawInvitation(id:$id){id}}`,
};

export type AccessSetRole = { setRole: { id: string; }; };
export const accessSetRoleDocument: Document<AccessSetRole, { id: string; role: string; project?: string | null; }> = {
  text: `mutation AccessSetRole($id:String!$role:String!$project:String){setRole(id:$id role:$role project:$project){id}}`,
};

export type AccessDisable = { disableUser: { id: string; }; };
export const accessDisableDocument: Document<AccessDisable, { id: string; revokeKeys: boolean; }> = {
  text: `mutation AccessDisable($id:String!$revokeKeys:Boolean!){disableUser(id:$id revokeKeys:$revokeKeys){id}}`,
};

export type AccessEnable = { enableUser: { id: string; }; };
export const accessEnableDocument: Document<AccessEnable, { id: string; }> = {
  text: `mutation AccessEnable($id:String!){enableUser(id:$id){id}}`,
};

export type AccessResetFactor = { resetSecondFactor: { id: string; }; };
export const accessResetFactorDocument: Document<AccessResetFactor, { user: string; }> = {
  text: `mutation AccessResetFactor($user:String!){resetSecondFactor(user:$user){id}}`,
};

export type AccessAudit = { audit: Array<AuditLine>; };
export const accessAuditDocument: Document<AccessAudit, { last: number; }> = {
  text: `query AccessAudit($last:Int!){audit(last:$last){...AuditLine}}fragment AuditLine on AuditEvent{seq at actor action resource error credential before after previous hash}`,
};

export type AccessAuditChain = { audit: Array<{ seq: number; previous: string; hash: string; chained: string; }>; };
export const accessAuditChainDocument: Document<AccessAuditChain, { last: number; after: number; }> = {
  text: `query AccessAuditChain($last:Int!$after:Int!){audit(last:$last after:$after){seq previous hash chained}}`,
};
