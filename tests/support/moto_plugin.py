"""moto server with what Zappa needs and moto lacks: ``python tests/support/moto_plugin.py -H HOST -p PORT``.

It is a script, since the additions must be made before moto's server starts.
"""

import json
import sys

from moto.apigateway.models import RestAPI, apigateway_backends
from moto.awslambda import urls as lambda_urls
from moto.awslambda.models import LambdaBackend, lambda_backends
from moto.awslambda.responses import LambdaResponse
from moto.moto_api._internal import urls as own_urls
from moto.server import main

FUNCTION = r"{0}/(?P<api_version>[^/]+)/functions/(?P<function_name>[\w_:%-]+)"


class Functions(LambdaResponse):
    """Functions without URLs, for which `update` asks, and with code that can be fetched, as `rollback` does."""

    def list_function_url_configs(self):
        return json.dumps({"FunctionUrlConfigs": []})

    def get_function(self):
        """Accept AWS's longer name too, ``function:NAME:VERSION``."""
        self.path = self.path.replace("function%3A", "").replace("function:", "")
        answer = json.loads(super().get_function())
        location = f"http://{self.headers['Host']}/moto-api/zip/{answer['Configuration']['FunctionArn']}"
        return json.dumps(answer | {"Code": {"RepositoryType": "S3", "Location": location}})


def get_zip(request, *_):
    """Return what AWS offers at a signed URL of S3."""
    arn = request.path.rsplit("/", 1)[-1]
    _, _, _, region, account, *_ = arn.split(":")
    return 200, {}, lambda_backends[account][region].get_function(arn).code_bytes


def delete_rest_api(api, account_id, region):
    """Delete its stack too; moto keeps it."""
    apigateway_backends[account_id][region].delete_rest_api(api.id)


if __name__ == "__main__":
    RestAPI.delete = delete_rest_api
    LambdaBackend.send_dynamodb_items = lambda *_: True  # else it would need Docker
    lambda_urls.url_paths |= {FUNCTION + "/?$": Functions.dispatch, FUNCTION + "/urls$": Functions.dispatch}
    own_urls.url_paths[r"{0}/moto-api/zip/(?P<arn>[\w:-]+)$"] = get_zip
    main(sys.argv[1:])
