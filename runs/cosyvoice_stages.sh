# Sourced by the recipes of CosyVoice and CosyVoice2: stages of LibriTTS and of own corpora.
# Every stage continues where it was interrupted. Settings are environment variables.

PYTHON=${PYTHON:-python}
stage=${stage:--1}
stop_stage=${stop_stage:-3}
train_parts=${train_parts:-train-clean-100 train-clean-360 train-other-500}
dev_parts=${dev_parts-dev-clean dev-other}
test_parts=${test_parts-test-clean test-other}
parts="$train_parts $dev_parts $test_parts"
data_url=${data_url:-https://www.openslr.org/resources/60}
data_dir=${data_dir:-downloads}
num_threads=${num_threads:-8}
num_processes=${num_processes:-10}
num_gpus=${num_gpus:-$(nvidia-smi -L 2>/dev/null | wc -l)}
[ "$num_gpus" -gt 0 ] || num_gpus=1
dist_backend=${dist_backend:-nccl}
train_engine=${train_engine:-torch_ddp}
models=${models:-llm}
num_workers=${num_workers:-2}
prefetch=${prefetch:-100}
average_num=${average_num:-5}
use_amp=${use_amp:-true} # compute in bfloat16

due() { # due NUMBER: whether a stage is to be run
    [ "$stage" -le "$1" ] && [ "$stop_stage" -ge "$1" ]
}

tool() { # tool NAME FLAGS...: one of the scripts
    "$PYTHON" "$repository/scripts/$1.py" "${@:2}"
}

download() { # download PART: one part of LibriTTS, once
    local archive="$data_dir/$1.tar.gz"
    [ -f "$data_dir/LibriTTS/$1/.complete" ] && return
    mkdir -p "$data_dir"
    curl -fL --retry 5 -C - -o "$archive" "$data_url/$1.tar.gz"
    tar -xzf "$archive" -C "$data_dir"
    touch "$data_dir/LibriTTS/$1/.complete"
    rm "$archive"
}

extract_embeddings() {
    local part
    for part in $parts; do
        tool extract_embedding --dir "data/$part" --num_thread "$num_threads" \
            --onnx_path "${speaker_encoder:-$pretrained_model_dir/campplus.onnx}"
    done
}

make_parquet() { # make_parquet FLAGS...
    local part
    for part in $parts; do
        tool make_parquet_list --num_utts_per_parquet "${num_utts:-1000}" \
            --num_processes "$num_processes" \
            --src_dir "data/$part" --des_dir "data/$part/parquet" "$@"
    done
}

prepare_stages() { # prepare_stages TOKENIZER FLAGS...: stages -1 to 3; flags are of the last one
    local tokenizer=$1 part
    shift
    if due -1; then
        for part in $parts; do download "$part"; done
    fi
    if due 0; then
        for part in $parts; do
            tool prepare_data --src_dir "$data_dir/LibriTTS/$part" --des_dir "data/$part"
        done
    fi
    if due 1; then extract_embeddings; fi
    if due 2; then
        for part in $parts; do
            tool extract_speech_token --dir "data/$part" --num_thread "$num_threads" \
                --onnx_path "$tokenizer"
        done
    fi
    if due 3; then make_parquet "$@"; fi
}

join_lists() { # join_lists: one list for training, one for evaluation
    local part
    for part in $train_parts; do cat "data/$part/parquet/data.list"; done >data/train.data.list
    for part in $dev_parts; do cat "data/$part/parquet/data.list"; done >data/dev.data.list
}

train_model() { # train_model SYSTEM MODEL FLAGS...: under torchrun, as published
    local system=$1 model=$2
    shift 2
    [ "$use_amp" != true ] || set -- --use_amp "$@"
    "$PYTHON" -m torch.distributed.run --nnodes=1 --nproc_per_node="$num_gpus" --rdzv_id=1986 \
        --rdzv_backend=c10d --rdzv_endpoint="localhost:${port:-1234}" \
        "$repository/scripts/train_cosyvoice.py" --train_engine "$train_engine" \
        --config "$config" --train_data data/train.data.list --cv_data data/dev.data.list \
        --model "$model" --model_dir "exp/$system/$model/$train_engine" \
        --tensorboard_dir "tensorboard/$system/$model/$train_engine" \
        --ddp.dist_backend "$dist_backend" --num_workers "$num_workers" --prefetch "$prefetch" \
        --pin_memory --deepspeed_config "$here/conf/ds_stage2.json" \
        --deepspeed.save_states model+optimizer "$@"
}

average_model() { # average_model SYSTEM MODEL
    local folder="exp/$1/$2/$train_engine"
    tool average_model --dst_model "$folder/$2.pt" --src_path "$folder" \
        --num "$average_num" --val_best
}

training_stages() { # training_stages SYSTEM FLAGS...: stages 5 to 7; flags are of the training command
    local system=$1 model start
    shift
    if due 5; then
        join_lists
        for model in $models; do
            start=$pretrained_model_dir/$model.pt
            [ -e "$start" ] || start=${start%.pt} # a folder of ours
            [ "$model" != llm ] || start=$checkpoint
            train_model "$system" "$model" ${start:+--checkpoint "$start"} "$@"
        done
    fi
    if due 6; then
        for model in $models; do average_model "$system" "$model"; done
    fi
    if due 7; then
        tool export_jit --model_dir "$pretrained_model_dir"
        tool export_onnx --model_dir "$pretrained_model_dir"
    fi
}
