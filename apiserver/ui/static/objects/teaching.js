// What an empty list says: what the kind is for, and a command that makes one.

export const TEACHING = {
  pods: ["A Pod is a group of containers on one node.", "podium apply -f manifests/01-pod.yaml"],
  "deployments.apps": ["A Deployment keeps a number of equal Pods running and replaces them in steps.", "podium apply -f manifests/02-deployment.yaml"],
  "replicasets.apps": ["A ReplicaSet keeps a number of Pods; Deployments make them.", "podium apply -f manifests/02-deployment.yaml"],
  configmaps: ["A ConfigMap holds settings that Pods read as files or variables.", "podium apply -f manifests/04-configuration.yaml"],
  secrets: ["A Secret holds what only some Pods should read.", "kubectl create secret generic password --from-literal=word=swordfish"],
  persistentvolumeclaims: ["A claim asks for disk that outlives a Pod.", "kubectl explain persistentvolumeclaim.spec"],
  persistentvolumes: ["A volume is a piece of disk; it is made when a claim needs one.", "kubectl get storageclasses"],
  "priorityclasses.scheduling.k8s.io": ["A PriorityClass says which Pods go first when room is short.", "kubectl create priorityclass urgent --value=1000"],
  "runtimeclasses.node.k8s.io": ["A RuntimeClass chooses among a node's engines.", "kubectl explain runtimeclass"],
  "breakpoints.debug.podium.dev": ["A Breakpoint stops a controller before it acts, so that you can look and step.", "podium debug --help"],
  "faults.debug.podium.dev": ["The fault lab: predict what follows when something breaks, then break it. Only in a cluster that was started with podium up --lab.", "podium up -d --lab\npodium fault kill kubelet"],
  events: ["Events tell what the parts of the cluster did. They go after an hour.", null],
};
