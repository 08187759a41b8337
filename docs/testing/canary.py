"""An operator to be tested: every Deployment labelled `canary: "yes"` gets a canary, a Deployment
of one replica with the same Pods. Run by `kopf run canary.py`; tested by test_canary.py beside it.
"""

import copy

import kopf
from kubernetes import client, config


@kopf.on.login()
def login(**_):
    config.load_kube_config()
    return kopf.login_via_client(**_)


@kopf.on.create("apps", "v1", "deployments", labels={"canary": "yes"})
@kopf.on.update("apps", "v1", "deployments", labels={"canary": "yes"}, field="spec.template")
def keep_canary(name, namespace, spec, logger, **_):
    body = canary_of(name, spec)
    kopf.adopt(body)  # it goes when the Deployment goes
    apps = client.AppsV1Api()
    try:
        apps.create_namespaced_deployment(namespace, body)
    except client.ApiException as error:
        if error.status != 409:
            raise
        apps.patch_namespaced_deployment(body["metadata"]["name"], namespace, body)
    logger.info("the canary of %s is as it should be", name)


def canary_of(name, spec):
    template = copy.deepcopy(dict(spec["template"]))
    template["metadata"] = {"labels": {"canary-of": name}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"{name}-canary"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"canary-of": name}},
            "template": template,
        },
    }
