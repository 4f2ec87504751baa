"""A local server that speaks the wire protocol of S3 (moto), with a bucket `anchors` that has Object Lock. Prints its address, and the id and
secret of two access keys: one that may only put objects with a retention, one that may do anything. Serves until its standard input ends.

It checks signatures and policies, and refuses to delete or overwrite the version of a locked object. It does not keep a retention from
being shortened, and does not ask for checksums."""

import json
import logging
import os
import sys

import boto3
import requests
from moto.server import ThreadedMotoServer

logging.disable()
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
url = f"http://{host}:{port}"
anyone = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "eu-central-1", "endpoint_url": url}
keys = []
iam = boto3.client("iam", **anyone)
for user, actions in [("gateway", ["s3:PutObject", "s3:PutObjectRetention"]), ("operator", ["*"])]:
    iam.create_user(UserName=user)
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
    iam.put_user_policy(UserName=user, PolicyName=user, PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=user)["AccessKey"]
    keys += [made["AccessKeyId"], made["SecretAccessKey"]]
boto3.client("s3", **anyone).create_bucket(
    Bucket="anchors", ObjectLockEnabledForBucket=True, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
)
# From now on every request is authenticated.
requests.post(f"{url}/moto-api/reset-auth", data=b"0", timeout=10).raise_for_status()
print(url, *keys, flush=True)
sys.stdin.read()
os._exit(0)
