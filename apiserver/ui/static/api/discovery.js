// Which kinds there are: from discovery, as kubectl does it. Nothing about a kind is known in advance
// but where it stands in the navigation.

import { getJson } from "../api/client.js";

const AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

let found = null;

/** Every kind that can be listed, by its key ("pods", "deployments.apps"). */
export function kinds() {
  found ??= Promise.all(["/api", "/apis"].map((path) => getJson(path, { accept: AGGREGATED })))
    .then((lists) => new Map(lists.flatMap(kindsOf).filter(isShown).map((kind) => [kind.key, kind])))
    .catch((error) => { found = null; throw error; });
  return found;
}

const isShown = (kind) => kind.verbs.includes("list") && kind.group !== "metrics.k8s.io";

function kindsOf(list) {
  return list.items.flatMap((group) => group.versions.flatMap(({ version, resources }) =>
    (resources ?? []).map((resource) => ({
      group: group.metadata.name ?? "",
      version,
      plural: resource.resource,
      kind: resource.responseKind.kind,
      isNamespaced: resource.scope === "Namespaced",
      verbs: resource.verbs,
      shortNames: resource.shortNames ?? [],
      subresources: (resource.subresources ?? []).map((one) => one.subresource),
      get key() { return this.group ? `${this.plural}.${this.group}` : this.plural; },
      get apiVersion() { return this.group ? `${this.group}/${this.version}` : this.version; },
    }))));
}

/** The API's path of a collection or an object. */
export function pathOf(kind, namespace, name) {
  const root = kind.group ? `/apis/${kind.group}/${kind.version}` : `/api/${kind.version}`;
  const inside = kind.isNamespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : "";
  return `${root}${inside}/${kind.plural}${name ? `/${encodeURIComponent(name)}` : ""}`;
}

/** The kind of an object reference ({ kind, apiVersion }); undefined when it is not served. */
export async function kindOf({ kind, apiVersion }) {
  return [...(await kinds()).values()].find((one) => one.kind === kind && (!apiVersion || one.apiVersion === apiVersion));
}
